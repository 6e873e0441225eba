package mtasts

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/sts"
)

// A Cached is the state of one stored domain, for a status page.
type Cached struct {
	// Policy is the policy as a caller would get it. It may have expired.
	Policy *Policy

	// LastUse is when the domain was last asked about. It may be an hour too early, and
	// after a restart a day.
	LastUse time.Time

	// NextRefresh is when [Client.Run] plans to refresh the policy. It is zero if the
	// domain is idle, or Run does not run.
	NextRefresh time.Time

	// Failures counts the refreshes that failed in a row. Since is when the first of
	// them did.
	Failures int
	Since    time.Time
}

// All returns what is stored, in the order of the domains. That includes expired policies until
// they are removed. It leaves out policies that could not be stored, because the store is full or
// cannot be written.
//
// All reads the store in steps, and may or may not see what changes meanwhile. It does not count
// as use of a domain. An error is about a part of the store that cannot be read. After it All
// goes on with the rest if it can.
func (c *Client) All(ctx context.Context) iter.Seq2[*Cached, error] {
	return func(yield func(*Cached, error) bool) {
		c.scan(ctx, func(e *storedEntry, err *Error) bool {
			if err != nil {
				return yield(nil, err)
			}
			p, _ := c.writer.get(e.head.Domain)
			if p == nil {
				if p, err = c.parse(e); err != nil {
					return yield(nil, err)
				}
			}
			return yield(c.describe(p, e.used), nil)
		})
	}
}

func (c *Client) describe(p *Policy, used time.Time) *Cached {
	now := time.Now()
	d := &Cached{Policy: c.overridden(p.afterClockChange(now)), LastUse: c.lastUse(p.Domain, used)}
	d.Failures, d.Since = c.alarms.of(p.Domain)
	if r := c.refresher.Load(); r != nil && p.valid(now) {
		if j, ok := r.plan(p, d.LastUse, now); ok {
			d.NextRefresh = j.at
		}
	}
	return d
}

// Forget removes a domain from memory and store. Until the next message to it, the domain is
// unprotected; then it is looked up as at first contact. Use Forget for a policy that its
// publisher cannot replace, such as one published by an intruder. To let mail out meanwhile,
// [Options].Override is better.
//
// A look-up or write that is under way can bring the policy back. The error is an [*Error]: the domain
// is invalid, or the store could not be written.
func (c *Client) Forget(ctx context.Context, domain string) error {
	name, err := sts.PolicyDomain(domain)
	if err != nil {
		_, err := notADomain(domain, err)
		return err
	}
	c.writer.forget(name)
	latest := time.Unix(1<<33, 0) // later than any fetch, so that Write removes the entry
	removal := c.sharing.ending(name, cache.Change{Key: name, Fetched: latest})
	c.memory.Remove(name)
	if err := c.remove(ctx, []cache.Change{removal}); err != nil {
		return &Error{Domain: name, Reason: ReasonStoreUnwritable, Temporary: true, Err: err}
	}
	c.memory.Remove(name) // a caller may have loaded it again meanwhile
	return nil
}

// Stats holds counters, which begin at 0 with the Client, and gauges. The package
// documentation says what each counts, and names it for an exporter.
type Stats struct {
	// Counters.
	LookupsPolicy, LookupsNone, LookupsError uint64
	Discoveries                              uint64
	FetchesOK, FetchesFailed, Backoffs       uint64
	Refreshes, RefreshesFailed               uint64
	Violations, Events                       uint64
	Evictions, StoreErrors                   uint64

	// Gauges.
	Lookups, Memory, Unsaved, Unrefreshed    int
	StoredOctets                             int64
	StoredEnforce, StoredTesting, StoredNone int64
}

// counters are the fields of Stats that are counted as they happen.
type counters struct {
	lookupsPolicy, lookupsNone, lookupsError atomic.Uint64
	discoveries                              atomic.Uint64
	fetchesOK, fetchesFailed, backoffs       atomic.Uint64
	refreshes, refreshFailures               atomic.Uint64
	violations, events                       atomic.Uint64
	evictions, storeErrors                   atomic.Uint64
	enforce, testing, none                   atomic.Int64 // stored
}

// Stats returns the current counters and gauges. It is cheap.
func (c *Client) Stats() Stats {
	s := &c.stats
	c.mu.Lock()
	lookups := len(c.lookups)
	c.mu.Unlock()
	return Stats{
		LookupsPolicy:   s.lookupsPolicy.Load(),
		LookupsNone:     s.lookupsNone.Load(),
		LookupsError:    s.lookupsError.Load(),
		Discoveries:     s.discoveries.Load(),
		FetchesOK:       s.fetchesOK.Load(),
		FetchesFailed:   s.fetchesFailed.Load(),
		Backoffs:        s.backoffs.Load(),
		Refreshes:       s.refreshes.Load(),
		RefreshesFailed: s.refreshFailures.Load(),
		Violations:      s.violations.Load(),
		Events:          s.events.Load(),
		Evictions:       s.evictions.Load(),
		StoreErrors:     s.storeErrors.Load(),
		Lookups:         lookups,
		Memory:          c.memory.Len(),
		Unsaved:         c.writer.unsaved(),
		Unrefreshed:     c.alarms.count(),
		StoredOctets:    c.quota.stored.Load(),
		StoredEnforce:   s.enforce.Load(),
		StoredTesting:   s.testing.Load(),
		StoredNone:      s.none.Load(),
	}
}
