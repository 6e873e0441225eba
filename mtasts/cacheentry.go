package mtasts

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// quietTime is how long no caller waits again after a check on account of a violation
	// found nothing new. One MX host that always fails would otherwise make every message
	// wait for the DNS.
	quietTime = 30 * time.Second

	// incompleteInterval is the time between checks while the DNS does not answer.
	incompleteInterval = 30 * time.Second

	// maxInterval bounds Options.CheckInterval, so that no time overflows.
	maxInterval = 10 * 365 * 24 * time.Hour

	// checkLimit is longer than a check takes that need not wait for a place to fetch.
	// Until then the cached policy is answered without another check.
	checkLimit = 2 * time.Minute

	// A use is noted once an hour in memory, and once a day in the store.
	useInterval       = time.Hour
	storedUseInterval = 24 * time.Hour
)

// A cacheEntry is what memory holds about one domain.
type cacheEntry struct {
	// policy is the answer: a policy, or one of mode none whose Cause says why there is
	// none. It is nil if nothing is known but a violation, or the store cannot be read.
	policy atomic.Pointer[Policy]

	// policy is answered without a check until checkAt, as Client.since counts, and no
	// longer than until expires, in nanoseconds since 1970. The first clock stands still
	// while the machine sleeps, and the second may be set: an interval needs the one, the
	// life of a policy the other.
	checkAt, expires atomic.Int64

	// lastUse is when the domain was last asked about, storedUse what the store has of
	// it. Both are in seconds since 1970.
	lastUse, storedUse atomic.Int64

	// unstored says why policy is neither stored nor waits to be.
	unstored atomic.Uint32 // 0, refused or dropped

	mu sync.Mutex

	// violations counts the violations since the last check that was complete. The next
	// caller waits for a check: the publisher may have moved (RFC 8461, Section 5).
	violations int

	// Until quietUntil a violation makes no caller wait.
	quietUntil time.Duration

	fetches []fetchAttempt // of different ids, the latest first
}

// setPolicy makes p the answer.
func (e *cacheEntry) setPolicy(p *Policy) {
	switch {
	case p == nil:
		e.expires.Store(0)
	case p.Cause != nil:
		e.expires.Store(math.MaxInt64)
	default:
		e.expires.Store(p.Expires.UnixNano())
	}
	e.policy.Store(p)
}

// valid returns the policy of e if it may be applied at now, and else nil.
func (e *cacheEntry) valid(now time.Time) *Policy {
	if e == nil {
		return nil
	}
	if p := e.policy.Load(); p.valid(now) {
		return p
	}
	return nil
}

// absence returns the result of the last check if it found no policy, and else nil.
func (e *cacheEntry) absence() *Policy {
	if e == nil {
		return nil
	}
	if p := e.policy.Load(); p != nil && p.Cause != nil {
		return p
	}
	return nil
}

func (e *cacheEntry) lastUsed() time.Time { return time.Unix(e.lastUse.Load(), 0) }

// fresh returns the answer that needs no check, or nil.
func (c *Client) fresh(name string) *Policy {
	e, ok := c.memory.Get(name)
	if !ok {
		return nil
	}
	now := time.Now()
	if now.Sub(c.start) >= time.Duration(e.checkAt.Load()) || now.UnixNano() > e.expires.Load() {
		return nil
	}
	if now.Sub(e.lastUsed()) >= useInterval {
		c.used(e)
	}
	return e.policy.Load()
}

// used notes that the domain of e was asked about.
func (c *Client) used(e *cacheEntry) {
	now := time.Now()
	e.lastUse.Store(now.Unix())
	p := e.policy.Load()
	if p == nil || p.Cause != nil || e.unstored.Load() != 0 {
		return
	}
	stored := e.storedUse.Load()
	if now.Sub(time.Unix(stored, 0)) >= storedUseInterval && e.storedUse.CompareAndSwap(stored, now.Unix()) {
		c.writer.note(p, now, true)
	}
}

// usedNow is used for an answer that was not in memory when it was asked for. It returns
// what is cached now, nil if nothing is.
func (c *Client) usedNow(name string) *Policy {
	e := c.cached(name)
	p := e.valid(time.Now())
	if p != nil {
		c.used(e)
	}
	return p
}

// lastUse is when a domain was last asked about: as the store says, or later.
func (c *Client) lastUse(domain string, stored time.Time) time.Time {
	last := stored
	if _, unsaved := c.writer.get(domain); unsaved.After(last) {
		last = unsaved
	}
	if e := c.cached(domain); e != nil && e.lastUsed().After(last) {
		last = e.lastUsed()
	}
	return last
}

// cached returns what memory holds about a domain, or nil. It does not count as a use for
// the LRU: each caller has come through fresh, which does.
func (c *Client) cached(name string) *cacheEntry {
	e, _ := c.memory.Peek(name)
	return e
}

// hold puts e into memory, again where its policy has changed.
func (c *Client) hold(name string, e *cacheEntry) { c.memory.Add(name, e, cost(e.policy.Load())) }

// cost is what it takes to hold p, in KiB and at least 1.
func cost(p *Policy) int {
	if p == nil {
		return 1
	}
	const header = 24 // octets of a string, of which MX has one for each pattern
	return max(1, (len(p.Text)+header*len(p.MX))>>10)
}

// violated notes that p was violated. The next caller waits for a check.
func (c *Client) violated(p *Policy) {
	c.stats.violations.Add(1)
	e := c.cached(p.Domain)
	if e == nil {
		// The domain was evicted from memory. Its policy comes from the store: p itself
		// may be out of date.
		e = new(cacheEntry)
		c.hold(p.Domain, e)
	} else if now := e.policy.Load(); now != nil && now != p && p.stamp.Before(now.stamp) {
		return // a newer policy is in place already
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.violations++
	e.checkAt.Store(min(e.checkAt.Load(), int64(max(c.since(), e.quietUntil))))
}

// isDue reports whether a caller must wait for a check. It is asked when e is not fresh.
func (e *cacheEntry) isDue() bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.violations > 0
}

// beginCheck begins a check, and returns how many violations it is to answer. If there are
// none, e stays fresh while the check is under way.
func (c *Client) beginCheck(e *cacheEntry) (violations int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.violations == 0 && e.valid(time.Now()) != nil && c.checkInterval >= 0 {
		e.checkAt.Store(int64(c.since() + checkLimit))
	}
	return e.violations
}

// endCheck makes e fresh for the next interval. The check was to answer violations; changed
// means that it found another policy, incomplete why it could not be completed.
func (c *Client) endCheck(e *cacheEntry, violations int, changed bool, incomplete *Error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, interval := c.since(), min(max(c.checkInterval, 0), maxInterval)
	if incomplete != nil && incomplete.Temporary {
		interval = min(interval, incompleteInterval)
	}
	if violations > 0 && !changed {
		e.quietUntil = now + quietTime
	}
	if e.violations > violations { // the check began before the last of them
		interval = min(interval, max(e.quietUntil-now, 0))
	}
	if incomplete == nil {
		e.violations -= violations
	}
	e.checkAt.Store(int64(now + interval))
}
