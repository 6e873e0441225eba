package tlsrpt

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// Options say who reports, and how. [New] copies them.
type Options struct {
	// Organization is the name of who reports, and Contact a mail address of somebody
	// responsible. The domain of Contact is the submitter of the reports: its DKIM key is
	// to sign them (RFC 8460, Sections 3 and 5.3). Both are required.
	Organization, Contact string

	// From is the mail address from which reports come. Required.
	From string

	// SendMail sends a finished message, which has a header field "TLS-Required: No" (RFC
	// 8689), to one address. It is to ask [mtasts.NoPolicy] for the policy, so that
	// nothing holds the message back and no report counts it. Nil means that somebody else
	// is responsible for it from now on. An error that wraps a
	// [*net/textproto.Error] with a code of 500 or above means that the address takes no
	// reports: it is left alone for a week. After any other error the message is sent again
	// later. SendMail is called concurrently, and must end soon after ctx does. Required.
	SendMail func(ctx context.Context, from, to string, message []byte) error

	// Sign returns a message with its DKIM signature (RFC 8460, Section 3: receivers
	// ignore reports without one). Nil: SendMail sees to it.
	Sign func(message []byte) ([]byte, error)

	// Resolver looks up the records of domains, and the hosts of https: destinations as
	// that of [mtasts.Options] does those of policies. Nil: [resolver.System]{}.
	Resolver mtasts.Resolver

	// RootCAs are the roots that https: destinations must chain to. Nil: the system's.
	RootCAs *x509.CertPool

	// AllowNets are networks in which https: destinations may live besides the public
	// Internet. Nil: none.
	AllowNets []netip.Prefix

	// Log is told of trouble that an operator can do something about, and of what is
	// dropped. Nil: nobody is.
	Log *slog.Logger
}

// Stats are counters since New. Outcomes are those of sessions: what was counted before a
// restart is in the other counters, too.
type Stats struct {
	Outcomes uint64 // counted

	Reported    uint64 // outcomes in reports that at least one destination has accepted
	Unwanted    uint64 // outcomes of domains that have no valid TLSRPT record
	Unconfirmed uint64 // outcomes in reports of which only the process's end kept the answer
	Dropped     uint64 // outcomes that no report has, for any other reason

	Reports     uint64 // deliveries that were accepted
	Failures    uint64 // deliveries that were refused or failed
	StoreErrors uint64 // failures of the store

	Keys int // in memory now; at most 400,000
}

// maxKeys bounds what is in memory: two keys for a domain, one for each further policy
// and each KiB of its text, and one for each kind of failure.
const maxKeys = 400_000

// A dayDomain is the key of an entry in memory.
type dayDomain struct {
	day    int64
	domain string
}

// A Collector counts outcomes and sends the reports about them. It may be used
// concurrently. Close it at the end.
type Collector struct {
	opts   Options
	store  mtasts.Store
	log    *slog.Logger
	client *http.Client

	process string // tells the parts that it writes from those of others

	mu         sync.Mutex
	entries    map[dayDomain]*entry
	dirty      []*entry
	stats      Stats
	more       room // in maxKeys; the lock is held
	parts      int  // that have been begun
	today      int64
	storeWorks bool
	closed     bool

	writing sync.Mutex // held by who writes what is dirty

	kick   chan struct{} // of capacity 1: something is dirty
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// New returns a Collector that keeps its counts in store, which must be its own and not
// that of an [mtasts.Client]: for a file use cache.OpenBolt. An error says what is wrong
// with opts. [Collector.Close] closes the store if it is an [io.Closer].
func New(store mtasts.Store, opts Options) (*Collector, error) {
	contact, from := parseAddress(opts.Contact), parseAddress(opts.From)
	switch {
	case store == nil:
		return nil, errors.New("tlsrpt: New needs a store")
	case opts.Organization == "":
		return nil, errors.New("tlsrpt: Options.Organization is empty: who reports?")
	case contact == "":
		return nil, fmt.Errorf("tlsrpt: Options.Contact: %+.300q is no mail address", opts.Contact)
	case from == "":
		return nil, fmt.Errorf("tlsrpt: Options.From: %+.300q is no mail address", opts.From)
	case opts.SendMail == nil:
		return nil, errors.New("tlsrpt: Options.SendMail is nil: most domains want their reports by mail")
	}
	if opts.Resolver == nil {
		opts.Resolver = resolver.System{}
	}
	opts.Contact, opts.From, opts.AllowNets = contact, from, slices.Clone(opts.AllowNets)
	c := &Collector{
		opts:       opts,
		store:      store,
		log:        cmp.Or(opts.Log, slog.New(slog.DiscardHandler)),
		client:     newHTTPClient(&opts),
		entries:    make(map[dayDomain]*entry),
		process:    strings.ToLower(rand.Text()[:8]),
		storeWorks: true,
		today:      dayOf(time.Now()),
		kick:       make(chan struct{}, 1),
	}
	c.more = func(n int) bool {
		if c.stats.Keys+n > maxKeys {
			return false
		}
		c.stats.Keys += n
		return true
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.work.Go(c.writeChanges)
	return c, nil
}

// Report counts what an event of an [mtasts.Client] says, if a report has it. It is made for
// mtasts.Options.Report. It does no I/O.
func (c *Collector) Report(e mtasts.Event) {
	if o, session, ok := outcomeOf(&e); ok {
		c.count(e.Time, &o, session)
	}
}

// Add counts an outcome that mtasts does not know of, such as one of DANE. It does no I/O.
// An error means that a field of o is wrong, and that nothing was counted.
func (c *Collector) Add(o Outcome) error {
	err := o.check()
	if err == nil {
		c.count(time.Now(), &o, true)
	}
	return err
}

// count counts an outcome for the day of UTC in which it came about.
func (c *Collector) count(at time.Time, o *Outcome, session bool) {
	day := dayOf(at)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[dayDomain{day, o.Domain}]
	if e == nil {
		e = c.newEntry(day, o.Domain)
	}
	if session {
		c.stats.Outcomes++
	}
	if e == nil || c.closed {
		if session {
			c.stats.Dropped++
		}
		return
	}
	e.count(o, session, c.more)
	if !e.dirty {
		c.markDirty(e)
	}
}

// newEntry makes an entry in memory; nil if there is no room. The lock is held.
func (c *Collector) newEntry(day int64, domain string) *entry {
	if !c.more(2) {
		return nil
	}
	c.parts++
	domain = strings.Clone(domain)
	e := &entry{Domain: domain, day: day, keys: 2,
		key: fmt.Sprintf("%s-%s-%d", baseKey(c.opts.Contact, day, domain), c.process, c.parts)}
	c.entries[dayDomain{day, domain}] = e
	return e
}

// markDirty has e written within some seconds. The lock is held.
func (c *Collector) markDirty(e *entry) {
	e.dirty = true
	c.dirty = append(c.dirty, e)
	c.wake()
}

// wake wakes writeChanges.
func (c *Collector) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Stats returns the counters.
func (c *Collector) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Close ends Run, writes what the store does not have yet, and closes the store if it is an
// [io.Closer]. Outcomes that come later are dropped. The error says of how many domains
// outcomes could not be stored and why, or is the store's own. A second call returns nil at once.
func (c *Collector) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.cancel()
	c.work.Wait()
	err := c.flush()
	if err != nil {
		err = fmt.Errorf("tlsrpt: domains of which outcomes could not be stored: %d: %w", len(c.dirty), err)
	}
	if closer, ok := c.store.(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	return err
}
