package mtasts

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// quietTime follows a check that was made because of a violation and found nothing new.
	// During it no violation makes a caller wait. Otherwise one MX host that always fails
	// would make every message wait for the DNS.
	quietTime = 30 * time.Second

	// incompleteInterval is the time between checks while the DNS does not answer.
	incompleteInterval = 30 * time.Second

	// maxInterval bounds Options.CheckInterval, so that no sum of times overflows.
	maxInterval = 10 * 365 * 24 * time.Hour

	// checkLimit is longer than a check takes, unless it has to wait for Client.fetches.
	// Meanwhile the cached policy counts as fresh.
	checkLimit = 2 * time.Minute

	// The last use of a domain is updated once an hour in memory, and once a day in the store.
	useInterval       = time.Hour
	storedUseInterval = 24 * time.Hour
)

// A cacheEntry is what memory holds about one domain.
type cacheEntry struct {
	// policy is the answer: a policy, or one of mode none whose Cause says why there is
	// none. It is nil if the store cannot be read, or if the entry was made for a violation.
	policy atomic.Pointer[Policy]

	// Until checkAt, policy is answered without a check, but not beyond expires. checkAt is
	// a time of Client.since, which nobody can set. expires is in nanoseconds since 1970,
	// because the life of a policy goes on while the machine sleeps.
	checkAt, expires atomic.Int64

	// lastUse is when the domain was last asked about, and storedUse what the store says
	// about that. Both are in seconds since 1970.
	lastUse, storedUse atomic.Int64

	// unstored says why policy is neither stored nor waiting to be written.
	unstored atomic.Uint32 // 0, refused or dropped

	mu sync.Mutex

	// violations counts the violations since the last complete check. If there are any, the
	// next caller waits for a check: the publisher may have moved (RFC 8461, Section 5).
	violations int

	quietUntil time.Duration // see quietTime; as Client.since counts

	fetches []fetchAttempt // of different ids, the latest first
}

// setPolicy makes p the answer. It sets policy before expires, and fresh reads them in the other
// order, so no reader sees the old policy with the end of the new one.
func (e *cacheEntry) setPolicy(p *Policy) {
	e.policy.Store(p)
	switch {
	case p == nil:
		e.expires.Store(0)
	case p.Cause != nil:
		e.expires.Store(math.MaxInt64)
	default:
		e.expires.Store(p.Expires.UnixNano())
	}
}

// valid returns the policy of e if it may be applied at now, or nil.
func (e *cacheEntry) valid(now time.Time) *Policy {
	if e == nil {
		return nil
	}
	if p := e.policy.Load(); p.valid(now) {
		return p
	}
	return nil
}

// absence returns the policy of mode none that says why the last check found no policy. It
// returns nil if there is a policy or no result.
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

// usedNow returns the policy that is cached now, and notes the use. It returns nil if there is
// none.
func (c *Client) usedNow(name string) *Policy {
	e := c.cached(name)
	p := e.valid(time.Now())
	if p != nil {
		c.used(e)
	}
	return p
}

// lastUse returns when a domain was last asked about. stored is what the store says. The writer
// and memory may have a later use.
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

// cached returns what memory holds about a domain, or nil. It does not mark the entry as used in
// the LRU: fresh has done that.
func (c *Client) cached(name string) *cacheEntry {
	e, _ := c.memory.Peek(name)
	return e
}

// hold puts e into memory. It is called again when the policy of e changes, and so its cost.
func (c *Client) hold(name string, e *cacheEntry) { c.memory.Add(name, e, cost(e.policy.Load())) }

// cost returns what p costs in memory, in KiB and at least 1.
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
		// Memory has evicted the domain. p may be out of date, so the next look-up reads
		// the store.
		e = new(cacheEntry)
		c.hold(p.Domain, e)
	} else if now := e.policy.Load(); now != nil && now != p && p.stamp.Before(now.stamp) {
		return // a newer policy has replaced p
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.violations == 0 {
		c.sharing.alert(p.Domain)
	}
	e.due(c.since())
}

// due notes a violation. The next caller waits for a check. The lock is held.
func (e *cacheEntry) due(now time.Duration) {
	e.violations++
	e.checkAt.Store(min(e.checkAt.Load(), int64(max(now, e.quietUntil))))
}

// mustCheck reports whether a caller must wait for a check, because of a violation. It holds only
// if e is not fresh.
func (e *cacheEntry) mustCheck() bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.violations > 0
}

// beginCheck begins a check, and returns how many violations there are before it. If there are
// none, the cached policy counts as fresh during the check.
func (c *Client) beginCheck(e *cacheEntry) (violations int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.violations == 0 && e.valid(time.Now()) != nil && c.checkInterval >= 0 {
		e.checkAt.Store(int64(c.since() + checkLimit))
	}
	return e.violations
}

// endCheck makes e fresh for the next interval. violations is what beginCheck returned. changed
// means that the check found another policy. incomplete says why the check could not be
// completed.
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
		e.violations = max(e.violations-violations, 0)
	}
	e.checkAt.Store(int64(now + interval))
}
