package mtasts

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A cacheEntry is what memory holds about one domain: the answer to give, until when to
// give it without a check, and which fetches must not be tried again yet.
type cacheEntry struct {
	// policy is the answer: a policy, or one of mode none with the Cause why there is
	// none. It is nil while only a violation is known of the domain, or where the store
	// could not be read.
	policy atomic.Pointer[Policy]

	// checkAt is until when policy is answered without a check, as Client.since counts.
	checkAt atomic.Int64

	// lastUse is when somebody last asked about the domain, storedUse what the store
	// says of it.
	lastUse, storedUse atomicSeconds

	// unstored says why policy is neither in the store nor to be written: then the next
	// check has it written again.
	unstored atomic.Uint32 // 0, refused or dropped

	mu sync.Mutex

	// due means that callers wait for the next check: a policy was violated, which is
	// the sign that its publisher may have moved (RFC 8461, Section 5).
	due bool

	// violations counts the violations, so that a check which began before the last of
	// them does not pass for an answer to it.
	violations int

	// quietUntil is until when another violation does not make callers wait, because a
	// check has just shown that nothing has changed.
	quietUntil time.Duration

	// fetches are the last fetches of different ids, the latest first.
	fetches []fetchAttempt
}

// A fetchAttempt is a fetch of a policy file that was begun because of an id.
type fetchAttempt struct {
	id      string
	at      time.Duration // as Client.since counts
	failure *Error        // nil: it succeeded
}

const (
	// fetchSpacing is the time between two fetches for one id. RFC 8461, Section 3.3:
	// "limiting further attempts to a period of five minutes or longer per version ID".
	fetchSpacing = 5 * time.Minute

	// maxFetchAttempts is how many ids have a spacing of their own, so that name
	// servers which disagree do not cause a fetch at each check.
	maxFetchAttempts = 4

	// quietSpacing keeps one MX host that fails for good from making each message
	// wait for the DNS.
	quietSpacing = 30 * time.Second

	// retrySpacing is the time between checks while the DNS gives no answer.
	retrySpacing = 30 * time.Second

	// maxInterval bounds Options.CheckInterval, so that no time overflows.
	maxInterval = 10 * 365 * 24 * time.Hour

	// checkLimit is longer than a check takes that need not wait for its turn to fetch.
	// Until then others are answered as before.
	checkLimit = 2 * time.Minute

	// A use is noted once an hour in memory, and once a day in the store.
	useInterval       = time.Hour
	storedUseInterval = 24 * time.Hour
)

// atomicSeconds is a time from 1970 to 2106, in seconds. Any other is the nearest of
// these.
type atomicSeconds struct{ since1970 atomic.Uint32 }

func (s *atomicSeconds) Load() time.Time { return time.Unix(int64(s.since1970.Load()), 0) }

func (s *atomicSeconds) Store(t time.Time) { s.since1970.Store(seconds(t)) }

// CompareAndSwap stores t if the time is still old.
func (s *atomicSeconds) CompareAndSwap(old, t time.Time) bool {
	return s.since1970.CompareAndSwap(seconds(old), seconds(t))
}

func seconds(t time.Time) uint32 { return uint32(min(max(t.Unix(), 0), math.MaxUint32)) }

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

// absence returns what the last check has found if that was no policy, and else nil.
func (e *cacheEntry) absence() *Policy {
	if e == nil {
		return nil
	}
	if p := e.policy.Load(); p != nil && p.Cause != nil {
		return p
	}
	return nil
}

// fresh returns what is to be answered without a check, or nil.
func (c *Client) fresh(name string) *Policy {
	e, ok := c.memory.Get(name)
	if !ok {
		return nil
	}
	now := time.Now()
	if now.Sub(c.start) >= time.Duration(e.checkAt.Load()) {
		return nil
	}
	p := e.policy.Load()
	if p == nil || p.Cause != nil {
		return p
	}
	if now.After(p.Expires) {
		// The interval is counted by a clock that stands still while the machine
		// sleeps. The life of a policy does not.
		return nil
	}
	if now.Sub(e.lastUse.Load()) >= useInterval {
		c.used(e)
	}
	return p
}

// used notes that somebody has asked about the domain of e.
func (c *Client) used(e *cacheEntry) {
	p, now := e.policy.Load(), time.Now()
	if p == nil || p.Cause != nil || !p.lasts() {
		return
	}
	e.lastUse.Store(now)
	if stored := e.storedUse.Load(); now.Sub(stored) >= storedUseInterval && e.unstored.Load() == 0 && e.storedUse.CompareAndSwap(stored, now) {
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

// lastUse is when somebody last asked about a domain: as the store says, or later.
func (c *Client) lastUse(domain string, stored time.Time) time.Time {
	last := stored
	if _, dirty := c.writer.get(domain); dirty.After(last) {
		last = dirty
	}
	if e := c.cached(domain); e != nil && e.lastUse.Load().After(last) {
		last = e.lastUse.Load()
	}
	return last
}

// cached returns what memory holds about a domain, nil if that is nothing. It leaves no
// mark for the LRU: fresh, which every caller comes by first, has left one.
func (c *Client) cached(name string) *cacheEntry {
	e, _ := c.memory.Peek(name)
	return e
}

// hold puts e into memory, again where its policy has changed.
func (c *Client) hold(name string, e *cacheEntry) {
	if other := c.cached(name); other != nil && other != e {
		// It has come while e was evicted, and can only know of violations.
		other.mu.Lock()
		due := other.due
		other.mu.Unlock()
		if due {
			c.makeDue(e)
		}
	}
	c.memory.Add(name, e, cost(e.policy.Load()))
}

// cost is what it takes to hold p, in KiB and at least 1.
func cost(p *Policy) int {
	if p == nil {
		return 1
	}
	const header = 24 // octets of a string, of which MX has one for each pattern
	return max(1, (len(p.Text)+header*len(p.MX))>>10)
}

// violated notes that p was violated, so that a check is made before the next answer.
func (c *Client) violated(p *Policy) {
	c.stats.violations.Add(1)
	e := c.cached(p.Domain)
	if e == nil {
		// Evicted meanwhile. p itself may be out of date and must not come back; the
		// store knows.
		e = new(cacheEntry)
		c.memory.Add(p.Domain, e, 1)
	} else if now := e.policy.Load(); now != nil && now != p && p.stamp.Before(now.stamp) {
		return // a newer policy is in place already
	}
	c.makeDue(e)
}

// makeDue lets the next caller wait for a check, or the first after quietUntil.
func (c *Client) makeDue(e *cacheEntry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.violations++
	e.due = true
	at := max(c.since(), e.quietUntil)
	if time.Duration(e.checkAt.Load()) > at {
		e.checkAt.Store(int64(at))
	}
}

// isDue reports whether a caller must wait for a check. It is asked when e is not fresh.
func (e *cacheEntry) isDue() bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.due
}

// A begunCheck is what endCheck has to know of the beginning of a check.
type begunCheck struct {
	due        bool
	violations int
}

// beginCheck begins a check. Unless callers must wait for it, e is answered as before
// while it is under way.
func (c *Client) beginCheck(e *cacheEntry) begunCheck {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.due && e.valid(time.Now()) != nil && c.checkInterval >= 0 {
		e.checkAt.Store(int64(c.since() + checkLimit))
	}
	return begunCheck{e.due, e.violations}
}

// endCheck lets e be answered for the next interval. changed means that the check has
// brought another policy, doubt that it could not be completed.
func (c *Client) endCheck(e *cacheEntry, begun begunCheck, changed bool, doubt *Error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, interval := c.since(), min(c.checkInterval, maxInterval)
	if doubt != nil && doubt.Temporary {
		interval = min(interval, retrySpacing)
	}
	if begun.due && !changed {
		e.quietUntil = now + quietSpacing // also where violations go on all the time
	}
	switch {
	case e.violations != begun.violations: // the check was too early for the last of them
		interval = max(0, min(interval, e.quietUntil-now))
	case doubt == nil:
		e.due = false
	}
	e.checkAt.Store(int64(now + max(interval, 0)))
}

// recentFetch returns the last fetch for an id, if it is too recent for another. So is the
// last fetch of all, if there were as many ids as are noted.
func (e *cacheEntry) recentFetch(id string, now time.Duration) (fetchAttempt, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.fetches {
		if a.id == id {
			return a, now-a.at < fetchSpacing
		}
	}
	if len(e.fetches) == maxFetchAttempts && now-e.fetches[maxFetchAttempts-1].at < fetchSpacing {
		return e.fetches[0], true
	}
	return fetchAttempt{}, false
}

// noteFetch notes a fetch, in the place of the last one for the same id.
func (e *cacheEntry) noteFetch(a fetchAttempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	kept := []fetchAttempt{a}
	for _, old := range e.fetches {
		if old.id != a.id && len(kept) < maxFetchAttempts {
			kept = append(kept, old)
		}
	}
	e.fetches = kept
}

// hasFetched reports whether the file was fetched for id before, among the last ids.
func (e *cacheEntry) hasFetched(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.fetches {
		if a.id == id {
			return true
		}
	}
	return false
}
