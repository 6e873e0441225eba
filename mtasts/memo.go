package mtasts

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// A memo is what is held in memory about one domain: the answer to give, until
// when to give it without a look, and the fetch that must not be tried again yet.
//
// What an answer needs is by itself, so that with many domains the most of it is in a
// processor's cache: see [cache.Entry].
type memo struct {
	// policy is nil in a memo that was made only to be due, or for a domain whose
	// entry in the store cannot be read.
	policy *Policy

	// fresh is until when policy is answered without a look, counted as
	// Client.since does; or due, or looking.
	fresh atomic.Int64

	*background
}

// A background is the part of a memo that only those need who look, store and refresh.
type background struct {
	blocked atomic.Pointer[block]

	// used is when somebody last asked about the domain, and storedUse what the
	// store says of it.
	used, storedUse atomicSeconds

	// owed means that the look for which policy was due told nothing certain.
	owed atomic.Bool

	// unsaved means that the store did not take policy, and that it is not held until
	// the store does: the next look tries again.
	unsaved atomic.Uint32 // 0, refused or dropped
}

// memoEntry is a memo as Client.memory holds it.
type memoEntry = cache.Entry[memo]

// emptyMemo is a memo that begins anew, of p if that is not nil.
func emptyMemo(p *Policy) *memoEntry {
	return &memoEntry{Value: memo{policy: p, background: new(background)}}
}

// newMemo is the memo of a policy that was last used at used, as the store says.
func newMemo(p *Policy, used time.Time) *memoEntry {
	m := emptyMemo(p)
	m.Value.used.Store(used)
	m.Value.storedUse.Store(used)
	return m
}

// atomicSeconds is a time from 1970 to 2106, in seconds. Any other is the nearest of
// these.
type atomicSeconds struct{ since1970 atomic.Uint32 }

func (s *atomicSeconds) Load() time.Time { return time.Unix(int64(s.since1970.Load()), 0) }

func (s *atomicSeconds) Store(t time.Time) {
	s.since1970.Store(uint32(min(max(t.Unix(), 0), math.MaxUint32)))
}

// A block is a failed fetch. RFC 8461, Section 3.3: further attempts SHOULD be
// limited to one in five minutes for each id.
type block struct {
	id    string
	until time.Duration
	cause *Error
}

const (
	// due marks a memo whose policy was violated: the next caller must wait for
	// a look. looking marks it while that look is under way. Both lie before any
	// instant, so that the memo is not fresh.
	due     = -1
	looking = -2

	// fetchSpacing is how long a failed fetch blocks the next of the same id.
	fetchSpacing = 5 * time.Minute

	// lookLimit is longer than a look takes that need not wait for its turn to fetch.
	// Others who ask during a longer one join it.
	lookLimit = 2 * time.Minute

	// doubtSpacing is the time between looks when the DNS gives no answer.
	doubtSpacing = 30 * time.Second

	// storeLimit ends a read or write of a store that hangs.
	storeLimit = 10 * time.Second
)

func (m *memo) freshUntil() time.Duration { return time.Duration(m.fresh.Load()) }

// fresh returns what is to be answered without a look, or nil.
func (c *Client) fresh(name string) *Policy {
	if e := c.memory.Get(name); e != nil && c.since() < e.Value.freshUntil() {
		return e.Value.policy
	}
	return nil
}

// memo returns what is held in memory about a domain, nil if nothing is. It leaves no mark:
// fresh, which every caller comes by first, has left one. Were it left here, each entry
// would be marked as soon as it is learnt, and the marks would tell nothing.
func (c *Client) memo(name string) *memo {
	if e := c.memory.Peek(name); e != nil {
		return &e.Value
	}
	return nil
}

// remembers reports whether m holds a policy that may be applied now.
func (m *memo) remembers(now time.Time) bool { return m != nil && m.policy.valid(now) }

// current is the policy of m if it may be applied now, and else nil.
func (m *memo) current() *Policy {
	if m.remembers(time.Now()) {
		return m.policy
	}
	return nil
}

// isDue reports whether a caller must wait for a look. It is asked when m is not
// fresh.
func (m *memo) isDue() bool { return m != nil && (m.fresh.Load() < 0 || m.owed.Load()) }

// keepFresh lets m be answered without a look for the next span, but not beyond
// the life of its policy. before is what fresh was when the look began: had a
// violation made m due since, then that look was too early for it.
func (c *Client) keepFresh(m *memo, before int64, span time.Duration) {
	if c.checkInterval < 0 {
		span = 0
	}
	if m.policy != nil && m.policy.Cause == nil {
		span = min(span, time.Until(m.policy.Expires))
	}
	m.fresh.CompareAndSwap(before, int64(c.since()+max(span, 0)))
}

// recall returns what is remembered about a domain, from memory or else from the
// store: a memo whose policy is valid, or one to begin anew with. An error means
// that there may be a policy which cannot be read. A fetched one can take its place,
// and nothing else can.
func (c *Client) recall(name string) (*memo, error) {
	m := c.memo(name)
	if m.remembers(time.Now()) {
		return m, nil
	}
	p, used, err := c.load(name)
	if !p.valid(time.Now()) || !p.lasts() {
		if m == nil {
			m = &emptyMemo(nil).Value
		}
		return m, err
	}
	e := newMemo(p, used)
	stored := &e.Value
	if m != nil {
		stored.fresh.Store(min(m.fresh.Load(), 0)) // a policy from elsewhere; still due if it was
		stored.blocked.Store(m.blocked.Load())
	}
	c.remember(name, e)
	return stored, nil
}

// newest is m, or what another process has stored since m was.
func (c *Client) newest(name string, m *memo) *memo {
	p, used, err := c.load(name)
	if err != nil || p == nil || m.policy != nil && !p.stamp.After(m.policy.stamp) {
		return m
	}
	if last := m.used.Load(); used.Before(last) {
		used = last
	}
	stored := newMemo(p, used)
	c.remember(name, stored)
	return &stored.Value
}

// remember puts m into memory.
func (c *Client) remember(name string, m *memoEntry) {
	c.memory.Add(name, m, cost(m.Value.policy))
}

// cost is what it takes to hold p, in KiB and at least 1.
func cost(p *Policy) int {
	if p == nil {
		return 1
	}
	const header = 24 // octets of a string, of which MX has one for each pattern
	return max(1, (len(p.Text)+header*len(p.MX))>>10)
}

// makeDue makes the next PolicyFor for p's domain wait for a look: RFC 8461,
// Section 5 lets a publisher replace a long-lived policy on the fly, and a
// violation is the sign that it may have happened.
func (c *Client) makeDue(p *Policy) {
	m := c.memo(p.Domain)
	if m == nil {
		// Evicted meanwhile. p itself may be out of date and must not come
		// back; the store knows.
		e := emptyMemo(nil)
		m = &e.Value
		c.remember(p.Domain, e)
	} else if m.policy != nil && m.policy != p && p.stamp.Before(m.policy.stamp) {
		return // a newer policy is in place already
	}
	m.fresh.Store(due)
}

func closedError(name string) *Error {
	return &Error{Domain: name, Reason: "closed", Temporary: true, Err: ErrClosed}
}
