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
	maxSocketPath = 107  // octets
	maxWaiting    = 4096 // outcomes that wait for the record of their domain
	maxLookups    = 16   // at a time

	maxRecords  = 10_000         // cached, of 4 KiB at most
	recordLife  = 24 * time.Hour // of a record, and of there being none
	failureLife = 5 * time.Minute

	socketLimit = 10 * time.Millisecond // for room in the socket
)

// Datagrams hands outcomes to the collector of another program, sys4's tlsrpt-reporter, as
// Postfix does by libtlsrpt: each as one datagram to a Unix socket. That program counts and
// reports; it needs nothing else of this package. Datagrams may be used concurrently. What
// cannot be sent at once is dropped and counted.
type Datagrams struct {
	path     string
	resolver mtasts.Resolver
	records  *cache.LRU[cachedRecord]
	dropped  atomic.Uint64
	workers  sync.WaitGroup
	ctx      context.Context
	cancel   context.CancelFunc

	mu      sync.RWMutex // held to send to waiting, or to close it
	waiting chan Outcome
	closed  bool
}

// A cachedRecord is the answer of [LookupRecord].
type cachedRecord struct {
	*Record
	err   error
	until time.Time
}

// NewDatagrams returns Datagrams to the socket at path, of at most 107 octets. The socket
// need not be there yet: each datagram finds it anew. resolver is asked for the TLSRPT
// records of domains, because those without one get no datagrams.
func NewDatagrams(path string, resolver mtasts.Resolver) (*Datagrams, error) {
	if len(path) < 1 || len(path) > maxSocketPath || resolver == nil {
		return nil, fmt.Errorf("tlsrpt: NewDatagrams needs a resolver and a path of 1 to %d octets: %+.120q", maxSocketPath, path)
	}
	d := &Datagrams{path: path, resolver: resolver, records: cache.NewLRU[cachedRecord](maxRecords),
		waiting: make(chan Outcome, maxWaiting)}
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

// Report is [Collector.Report]. A datagram stands for a session, so there is none about a
// failure to fetch a policy while one is cached.
func (d *Datagrams) Report(e mtasts.Event) {
	if o, ok := outcomeOf(&e); ok && !o.noSession {
		d.queue(o)
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

// queue never waits.
func (d *Datagrams) queue(o Outcome) {
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

// Dropped is how many outcomes could not be sent, of domains that want reports or may want
// them.
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

// send sends an outcome if its domain has a record.
func (d *Datagrams) send(o *Outcome) {
	r := d.record(o.Domain)
	if isFinal(r.err) {
		return
	}
	if r.err != nil || d.write(datagramOf(r.Raw, o)) != nil {
		d.dropped.Add(1)
	}
}

// record returns the record of a domain, which it caches.
func (d *Datagrams) record(domain string) cachedRecord {
	now := time.Now()
	r, ok := d.records.Get(domain)
	if ok && now.Before(r.until) {
		return r
	}
	record, err := LookupRecord(d.ctx, d.resolver, domain)
	r = cachedRecord{record, err, now.Add(recordLife)}
	if err != nil && !isFinal(err) {
		r.until = now.Add(failureLife)
	}
	d.records.Add(domain, r, 1)
	return r
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

// datagramOf is the datagram about a session.
func datagramOf(record string, o *Outcome) []byte {
	p := datagramPolicy{Type: map[PolicyType]int{TypeTLSA: 1, TypeSTS: 2, TypeNoPolicyFound: 9}[o.Type],
		Domain: o.PolicyDomain, Text: lines(o.Policy), MXHosts: patterns(o.Policy)}
	if o.Result != "" {
		p.Number, p.Failed = 1, 1
		p.Details = []datagramFailure{{resultCodes[slices.Index(results[:], o.Result)],
			o.Local.Unmap().WithZone(""), plain(o.MX), plain(o.HELO), o.Remote.Unmap().WithZone(""), plain(o.Reason)}}
	}
	b, _ := json.Marshal(datagram{"1", o.Domain, record, []datagramPolicy{p}}) // does not fail
	return b
}
