package tlsrpt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// A Collector counts outcomes and sends the reports about them. It may be used
// concurrently. Close it at the end.
//
// It keeps an entry for each domain and day in memory until the report about it is over. The
// store has a copy of each, which is read at the start alone.
type Collector struct {
	opts   Options
	store  mtasts.Store
	log    *slog.Logger
	client *http.Client

	mu      sync.Mutex
	days    map[int64]map[string]*entry // by day and domain
	changed []*entry                    // since they were written
	timer   *time.Timer                 // saves what has changed
	stats   Stats
	logged  time.Time // when an error of the store was last logged
	closed  bool

	storing sync.Mutex    // held while entries are written
	running chan struct{} // full while Run runs
	ctx     context.Context
	cancel  context.CancelFunc
}

// New returns a Collector that goes on with the counts in store. It has the store to itself; an
// [mtasts.Client] needs another one. For a file use cache.OpenBolt. An error says what is
// wrong with opts, or with the store. [Collector.Close] closes the store if it is an
// [io.Closer].
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
		opts:    opts,
		store:   store,
		log:     cmp.Or(opts.Log, slog.New(slog.DiscardHandler)),
		client:  newHTTPClient(&opts),
		days:    make(map[int64]map[string]*entry),
		running: make(chan struct{}, 1),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.timer = time.AfterFunc(writeInterval, func() { _ = c.save() })
	if err := c.load(""); err != nil {
		return nil, err
	}
	return c, nil
}

// Report counts what an event of an [mtasts.Client] says, if a report has it. It is made for
// mtasts.Options.Report. It does no I/O.
func (c *Collector) Report(e mtasts.Event) {
	if o, ok := outcomeOf(&e); ok {
		c.count(e.Time, &o)
	}
}

// Add counts an outcome that mtasts does not know of, such as one of DANE. It does no I/O.
// An error means that a field of o is wrong, and that nothing was counted.
func (c *Collector) Add(o Outcome) error {
	err := o.check()
	if err == nil {
		c.count(time.Now(), &o)
	}
	return err
}

// count counts an outcome for the day of UTC in which it came about.
func (c *Collector) count(at time.Time, o *Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(dayOf(at), o.Domain)
	if !o.noSession {
		c.stats.Outcomes++
		if e == nil {
			c.stats.Dropped++
		}
	}
	if e == nil {
		return
	}
	p := c.policy(e, o.Type, o.PolicyDomain, o.Policy)
	switch {
	case o.noSession:
	case o.Result == "":
		p.Successes++
	default:
		p.Failures++
	}
	if o.Result != "" {
		c.countFailure(e, p, FailureDetail{Result: o.Result, SendingMTAIP: o.Local, ReceivingMX: o.MX,
			ReceivingHELO: o.HELO, ReceivingIP: o.Remote, Reason: o.Reason})
	}
	c.markChanged(e)
}

// markChanged has e written after writeInterval. The lock is held.
func (c *Collector) markChanged(e *entry) {
	if e.changed {
		return
	}
	if len(c.changed) == 0 && !c.closed {
		c.timer.Reset(writeInterval)
	}
	e.changed = true
	c.changed = append(c.changed, e)
}

// Stats returns the counters.
func (c *Collector) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Close ends Run, writes what the store does not have yet, and closes the store if it is an
// [io.Closer]. Outcomes that come later are dropped. The error says why the last outcomes
// could not be stored, or is the store's own. A second call returns nil at once.
func (c *Collector) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.timer.Stop()
	c.cancel()
	c.running <- struct{}{} // Run has ended
	defer func() { <-c.running }()
	err := c.save()
	if closer, ok := c.store.(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	return err
}
