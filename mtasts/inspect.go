package mtasts

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/sts"
)

// A Cached is what is known of one domain, for a status page.
type Cached struct {
	Policy *Policy

	// LastUse is when somebody last asked about the domain, as far as it was noted: at
	// most an hour ago in memory, and a day ago in the store.
	LastUse time.Time

	// NextRefresh is when Run will try to fetch the policy again, as far as that is
	// planned. It is zero if the domain is not in use, or Run does not run.
	NextRefresh time.Time

	// Failures counts the refreshes that have failed one after the other, since Since.
	Failures int
	Since    time.Time
}

// All returns what is stored, in the order of the domains, with the policies that have
// expired and are not removed yet. It reads the store in steps, so what changes meanwhile
// may be seen or not. A domain counts as in use by none of this. An error says that a part
// of the store cannot be read; the walk goes on behind it if that is possible. Policies
// that are not in the store, because it is full or cannot be written, are left out.
func (c *Client) All(ctx context.Context) iter.Seq2[*Cached, error] {
	return func(yield func(*Cached, error) bool) {
		for after := ""; ; {
			batch, cancel := context.WithTimeout(ctx, storeLimit)
			keys, values, err := c.store.Scan(batch, after, scanBatch)
			cancel()
			for i, key := range keys {
				p, used, err := decodeEntry(key, values[i], c.files.parse)
				if err != nil {
					if !yield(nil, &Error{Domain: key, Reason: ReasonStoreUnreadable, Err: err}) {
						return
					}
					continue
				}
				if dirty, _ := c.writer.get(key); dirty != nil {
					p = dirty
				}
				if !yield(c.describe(p, c.lastUse(key, used)), nil) {
					return
				}
			}
			if err != nil && !yield(nil, &Error{Reason: ReasonStoreUnreadable, Temporary: true, Err: err}) {
				return
			}
			if len(keys) == 0 && err != nil || err == nil && len(keys) < scanBatch || ctx.Err() != nil {
				return
			}
			if len(keys) > 0 {
				after = keys[len(keys)-1]
			}
		}
	}
}

func (c *Client) describe(p *Policy, used time.Time) *Cached {
	now := time.Now()
	d := &Cached{Policy: c.overridden(p.afterClockChange(now)), LastUse: used}
	d.Failures, d.Since = c.alarms.of(p.Domain)
	if r := c.refresher.Load(); r != nil && p.valid(now) {
		if j, ok := r.plan(p, used, now); ok {
			d.NextRefresh = j.at
		}
	}
	return d
}

// Forget removes what is known of a domain from memory and store. The next message finds
// it anew, as at the first contact: until then the domain is without protection. It is for
// a policy that its publisher cannot replace, such as one that an intruder has published.
// To let mail out meanwhile, [Options].Override is the better choice.
//
// A look-up that is under way can bring the policy back.
func (c *Client) Forget(ctx context.Context, domain string) error {
	name, err := sts.PolicyDomain(domain)
	if err != nil {
		_, err := notADomain(domain, err)
		return err
	}
	c.writer.forget(name)
	c.memory.Remove(name)
	// Whatever fetch the store has: this is to remove it.
	latest := time.Unix(1<<33, 0)
	if err := c.store.Write(ctx, []cache.Change{{Key: name, Fetched: latest}}); err != nil {
		return &Error{Domain: name, Reason: ReasonStoreUnwritable, Temporary: true, Err: err}
	}
	c.memory.Remove(name) // what was read meanwhile
	return nil
}

// Stats are counters since the client was made, whose names end in Total in an exporter,
// and gauges. They are cheap to read. The package documentation has a line for each.
type Stats struct {
	// Look-ups that PolicyFor had to make or join, by their outcome. Answers from memory
	// alone are not counted.
	LookupsPolicy, LookupsNone, LookupsError uint64

	// Discoveries are checks of the DNS, made for a caller, behind an answer, or by Run.
	Discoveries uint64

	// Fetches are requests to policy hosts; Backoffs those that were not made, because
	// one for the same id had failed less than five minutes ago.
	FetchesOK, FetchesFailed, Backoffs uint64

	// Refreshes are fetches by Run that succeeded or failed.
	Refreshes, RefreshesFailed uint64

	Violations  uint64 // under mode enforce
	Events      uint64 // handed to Options.Report
	Evictions   uint64 // from the store, for its quota
	StoreErrors uint64 // reads and writes that failed

	// Gauges.
	Lookups      int   // under way
	Memory       int   // domains in memory
	Unsaved      int   // policies that are not written yet
	Unrefreshed  int   // policies whose last refresh has failed
	StoredOctets int64 // while Run runs, as of its last walk

	// Stored policies by mode, as of the last walk of Run.
	StoredEnforce, StoredTesting, StoredNone int64
}

// counters are what Stats reads.
type counters struct {
	lookupsPolicy, lookupsNone, lookupsError atomic.Uint64
	discoveries                              atomic.Uint64
	fetchesOK, fetchesFailed, backoffs       atomic.Uint64
	refreshes, refreshFailures               atomic.Uint64
	violations, events                       atomic.Uint64
	evictions, storeErrors                   atomic.Uint64
	enforce, testing, none                   atomic.Int64 // stored
}

// Stats returns the figures of this moment.
func (c *Client) Stats() Stats {
	s := &c.stats
	c.mu.Lock()
	lookups := len(c.lookups)
	c.mu.Unlock()
	return Stats{
		LookupsPolicy: s.lookupsPolicy.Load(), LookupsNone: s.lookupsNone.Load(), LookupsError: s.lookupsError.Load(),
		Discoveries: s.discoveries.Load(),
		FetchesOK:   s.fetchesOK.Load(), FetchesFailed: s.fetchesFailed.Load(), Backoffs: s.backoffs.Load(),
		Refreshes: s.refreshes.Load(), RefreshesFailed: s.refreshFailures.Load(),
		Violations: s.violations.Load(), Events: s.events.Load(),
		Evictions: s.evictions.Load(), StoreErrors: s.storeErrors.Load(),
		Lookups: lookups, Memory: c.memory.Len(), Unsaved: c.writer.unsaved(), Unrefreshed: c.alarms.count(),
		StoredOctets: c.quota.stored.Load(), StoredEnforce: s.enforce.Load(), StoredTesting: s.testing.Load(), StoredNone: s.none.Load(),
	}
}
