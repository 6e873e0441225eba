package tlsrpt

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	// maxSocketPath is the longest path of a socket, in octets.
	maxSocketPath = 107

	// maxWaiting and maxLookups bound the outcomes that wait for the record of their
	// domain, and the look-ups under way.
	maxWaiting = 4096
	maxLookups = 16

	// maxRecords bounds the cached records, in KiB. A record, and that there is none, is
	// cached for recordLife, that it could not be found out for failureLife.
	maxRecords  = 20_000
	recordLife  = 24 * time.Hour
	failureLife = 5 * time.Minute

	// maxPending bounds the domains with a failed fetch that waits for a session.
	maxPending = 1000

	// socketLimit is for how long a datagram waits for room in the socket.
	socketLimit = 10 * time.Millisecond
)

// Datagrams hands outcomes to the collector of another program, sys4's tlsrpt-reporter, as
// Postfix does by libtlsrpt: each as one datagram to a Unix socket. That program counts and
// reports; it needs nothing else of this package. Datagrams may be used concurrently. What
// cannot be sent at once is dropped and counted.
type Datagrams struct {
	path     string
	resolver mtasts.Resolver
	records  *cache.LRU[cachedRecord]
	waiting  chan Outcome
	dropped  atomic.Uint64
	workers  sync.WaitGroup
	ctx      context.Context
	cancel   context.CancelFunc

	mu      sync.RWMutex
	closed  bool
	pending map[string]Outcome // failed fetches beside a cached policy, by domain
}

// A cachedRecord is the text of a TLSRPT record, "" if there is none or it is unknown.
type cachedRecord struct {
	text    string
	unknown bool
	until   time.Time
}

// NewDatagrams returns Datagrams to the socket at path, of at most 107 octets. The socket
// need not be there yet: each datagram finds it anew. resolver is asked for the TLSRPT
// records of domains, because those without one get no datagrams.
func NewDatagrams(path string, resolver mtasts.Resolver) (*Datagrams, error) {
	if len(path) < 1 || len(path) > maxSocketPath || resolver == nil {
		return nil, fmt.Errorf("tlsrpt: NewDatagrams needs a resolver and a path of 1 to %d octets: %+.120q", maxSocketPath, path)
	}
	d := &Datagrams{path: path, resolver: resolver, records: cache.NewLRU[cachedRecord](maxRecords),
		waiting: make(chan Outcome, maxWaiting), pending: make(map[string]Outcome)}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	for range maxLookups {
		d.workers.Go(func() {
			for o := range d.waiting {
				d.send(&o)
			}
		})
	}
	return d, nil
}

// Report is [Collector.Report]. A failure to fetch a policy while one is cached goes with
// the next session of the domain, for a datagram stands for a session.
func (d *Datagrams) Report(e mtasts.Event) {
	o, session, ok := outcomeOf(&e)
	switch {
	case !ok:
	case session:
		d.queue(o)
	default:
		d.mu.Lock()
		defer d.mu.Unlock()
		if _, there := d.pending[o.Domain]; !there && len(d.pending) >= maxPending {
			d.dropped.Add(1)
			return
		}
		d.pending[o.Domain] = o
	}
}

// Add is [Collector.Add].
func (d *Datagrams) Add(o Outcome) error {
	err := o.check()
	if err == nil {
		d.queue(o)
	}
	return err
}

// Dropped is how many outcomes of domains that want reports, or may want them, could not be
// sent.
func (d *Datagrams) Dropped() uint64 { return d.dropped.Load() }

// Close sends what waits, as far as that needs no more look-ups. Outcomes that come later
// are dropped.
func (d *Datagrams) Close() {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		d.cancel()
		close(d.waiting)
	}
	d.mu.Unlock()
	d.workers.Wait()
}

// queue never waits.
func (d *Datagrams) queue(o Outcome) {
	if r, known := d.records.Get(o.Domain); known && r.text == "" && r.until.After(time.Now()) {
		d.skip(r)
		return
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.closed {
		select {
		case d.waiting <- o:
			return
		default:
		}
	}
	d.dropped.Add(1)
}

// skip counts an outcome that is not sent because of r.
func (d *Datagrams) skip(r cachedRecord) {
	if r.unknown {
		d.dropped.Add(1)
	}
}

// send sends an outcome if its domain has a record.
func (d *Datagrams) send(o *Outcome) {
	r, known := d.records.Get(o.Domain)
	if now := time.Now(); !known || !r.until.After(now) || r.until.After(now.Add(recordLife)) {
		record, err := LookupRecord(d.ctx, d.resolver, o.Domain)
		switch {
		case err == nil:
			r = cachedRecord{text: record.Raw, until: now.Add(recordLife)}
		case isFinal(err):
			r = cachedRecord{until: now.Add(recordLife)}
		default:
			r = cachedRecord{unknown: true, until: now.Add(failureLife)}
		}
		d.records.Add(o.Domain, r, 1+len(r.text)>>10)
	}
	if r.text == "" {
		d.skip(r)
		return
	}
	outcomes := []*Outcome{o}
	d.mu.Lock()
	if fetch, ok := d.pending[o.Domain]; ok && o.Type == TypeSTS {
		outcomes = append(outcomes, &fetch)
		delete(d.pending, o.Domain)
	}
	d.mu.Unlock()
	if d.write(datagramOf(r.text, outcomes)) != nil {
		d.dropped.Add(1)
	}
}

// write sends one datagram, whole or not at all, to the socket that is at path now.
func (d *Datagrams) write(b []byte) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: d.path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(socketLimit))
	_, err = conn.Write(b)
	return err
}

// The datagram of libtlsrpt, version 1. Receivers go by the order of its members.
type (
	datagram struct {
		Version  string           `json:"dpv"`
		Domain   string           `json:"d"`
		Record   string           `json:"pr"`
		Policies []datagramPolicy `json:"policies"`
	}
	datagramPolicy struct {
		Type    int               `json:"policy-type"`
		Domain  string            `json:"policy-domain"`
		Text    []string          `json:"policy-string,omitempty"`
		MXHosts []string          `json:"mx-host,omitempty"`
		Details []datagramFailure `json:"failure-details,omitempty"`
		Number  int               `json:"t"` // of Details
		Failed  int               `json:"f"`
	}
	datagramFailure struct {
		Code      int        `json:"c"`
		SendingIP netip.Addr `json:"s,omitzero"`
		MX        string     `json:"n,omitempty"`
		HELO      string     `json:"h,omitempty"`
		IP        netip.Addr `json:"r,omitzero"`
		Reason    string     `json:"f,omitempty"`
	}
)

// resultCodes are in the order of results.
var resultCodes = [len(results)]int{201, 202, 204, 203, 205, 304, 305, 306, 301, 302, 303}

// datagramOf is the datagram about the first of outcomes, a session, and about failures of
// its policy.
func datagramOf(record string, outcomes []*Outcome) []byte {
	o := outcomes[0]
	p := datagramPolicy{Type: 9, Domain: o.PolicyDomain, Text: lines(o.Policy)}
	switch o.Type {
	case TypeTLSA:
		p.Type = 1
	case TypeSTS:
		p.Type, p.MXHosts = 2, patterns(o.Policy)
	}
	if o.Result != "" {
		p.Failed = 1
	}
	for _, f := range outcomes {
		if f.Result != "" {
			p.Details = append(p.Details, datagramFailure{resultCodes[slices.Index(results[:], f.Result)],
				f.Local.WithZone(""), plain(f.MX), plain(f.HELO), f.Remote.WithZone(""), plain(f.Reason)})
		}
	}
	p.Number = len(p.Details)
	b, _ := json.Marshal(datagram{"1", o.Domain, record, []datagramPolicy{p}}) // does not fail
	return b
}
