package mtasts

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
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

	// unsaved means that the store did not take policy, and that it is not held until
	// the store does: the next check tries again.
	unsaved atomic.Uint32 // 0, refused or dropped

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

	// checkLimit is longer than a check takes that need not wait for its turn to fetch.
	// Until then others are answered as before.
	checkLimit = 2 * time.Minute

	// storeLimit ends a read or write of a store that hangs.
	storeLimit = 10 * time.Second
)

// atomicSeconds is a time from 1970 to 2106, in seconds. Any other is the nearest of
// these.
type atomicSeconds struct{ since1970 atomic.Uint32 }

func (s *atomicSeconds) Load() time.Time { return time.Unix(int64(s.since1970.Load()), 0) }

func (s *atomicSeconds) Store(t time.Time) {
	s.since1970.Store(uint32(min(max(t.Unix(), 0), math.MaxUint32)))
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
	held := c.memory.Get(name)
	if held == nil {
		return nil
	}
	now := time.Now()
	if now.Sub(c.start) >= time.Duration(held.Value.checkAt.Load()) {
		return nil
	}
	p := held.Value.policy.Load()
	if p != nil && p.Cause == nil && now.After(p.Expires) {
		// The interval is counted by a clock that stands still while the machine
		// sleeps. The life of a policy does not.
		return nil
	}
	return p
}

// cached returns what memory holds about a domain, nil if that is nothing. It leaves no
// mark for the LRU: fresh, which every caller comes by first, has left one.
func (c *Client) cached(name string) *cacheEntry {
	if held := c.memory.Peek(name); held != nil {
		return held.Value
	}
	return nil
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
	c.memory.Add(name, &cache.Entry[*cacheEntry]{Value: e}, cost(e.policy.Load()))
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
	e := c.cached(p.Domain)
	if e == nil {
		// Evicted meanwhile. p itself may be out of date and must not come back; the
		// store knows.
		e = new(cacheEntry)
		c.memory.Add(p.Domain, &cache.Entry[*cacheEntry]{Value: e}, 1)
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

// beginCheck returns what endCheck wants to know. Unless callers must wait for the
// check, e is answered as before while it is under way.
func (c *Client) beginCheck(e *cacheEntry) (violations int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.due && e.valid(time.Now()) != nil && c.checkInterval >= 0 {
		e.checkAt.Store(int64(c.since() + checkLimit))
	}
	return e.violations
}

// endCheck lets e be answered for the next interval. changed means that the check has
// brought another policy, doubt that it could not be completed.
func (c *Client) endCheck(e *cacheEntry, violations int, changed bool, doubt *Error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.violations != violations {
		return // the check was too early for the last of them
	}
	now, interval := c.since(), c.checkInterval
	if doubt != nil && doubt.Temporary {
		interval = retrySpacing
	}
	if c.checkInterval < 0 {
		interval = 0
	}
	e.checkAt.Store(int64(now + interval))
	if doubt != nil {
		return // a check that is due is still due
	}
	if e.due && !changed {
		e.quietUntil = now + quietSpacing
	}
	e.due = false
}

// recentFetch returns the last fetch for an id, if it is too recent for another.
func (e *cacheEntry) recentFetch(id string, now time.Duration) (fetchAttempt, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.fetches {
		if a.id == id {
			return a, now-a.at < fetchSpacing
		}
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
