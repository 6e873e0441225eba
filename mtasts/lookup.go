package mtasts

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A lookup is one look-up of one domain, shared by all who wait for it. It belongs to the
// client, not to a caller: one whose context ends leaves, and the look-up goes on and is
// cached.
type lookup struct {
	force   bool          // check, however fresh memory is
	recheck bool          // see Client.Recheck
	job     *job          // fetch, whatever the TXT record says: see Client.refreshNow
	began   time.Duration // as Client.since counts

	// hurry, of capacity 1, is given by a refresh that waits for the look-up of callers:
	// it then fetches in the place that the refresh has.
	hurry chan struct{}

	// answered is closed once entry has a policy to answer with: the cached one, or the
	// newer one that was fetched meanwhile. It is the entry that memory has, or had until
	// it was evicted, so that nobody is told of the older one after another was told of
	// the newer.
	answered chan struct{}
	entry    *cacheEntry

	// next is begun as soon as this look-up has ended, by those who need another one.
	next *lookup // guarded by Client.mu

	// done is closed at the end. Then policy or err is set, checked says whether the
	// DNS was asked at all, and doubt why the check told nothing certain.
	done    chan struct{}
	policy  *Policy
	err     error
	checked bool
	doubt   *Error

	// For a refresh: what is cached after it, and why it could not be fetched again.
	held    *Policy
	failure *Error
	blocked bool // it was not even tried
}

// maxLookups bounds the look-ups under way, most of which then wait for policy hosts that
// do not answer, and whose callers have long left. Run, which has a bound of its own, is
// let through, so that no flood of domains can put a refresh off.
const maxLookups = 20_000

var errBusy = errors.New("too many domains are being looked up")

// find answers what fresh could not.
func (c *Client) find(ctx context.Context, name string) (*Policy, error) {
	called := c.since()
	for {
		e := c.cached(name)
		known := e.valid(time.Now())
		if known != nil {
			c.used(e)
			if c.since() < time.Duration(e.checkAt.Load()) {
				return known, nil // checked meanwhile
			}
		}
		first := c.checkInterval < 0 || e.isDue() // check first, then answer
		l, err := c.join(name, &lookup{force: c.checkInterval < 0})
		if known != nil && !first {
			return known, nil // the check is made behind it
		}
		if err != nil {
			return c.best(name, nil, err)
		}
		if !first {
			select {
			case <-l.answered:
				if p := l.entry.valid(time.Now()); p != nil {
					c.used(l.entry)
					return p, nil
				}
			case <-l.done:
			case <-ctx.Done():
			}
		}
		select {
		case <-l.done:
			if l.err == nil && (first && l.began < called || l.policy == nil) {
				continue // it may have been too early to see what this caller waits for
			}
			c.usedNow(name)
			return l.policy, l.err
		case <-ctx.Done():
			return c.best(name, l, leftError(ctx, name))
		}
	}
}

// best is the answer for a caller who cannot wait for a look-up: the cached policy, or
// else what the last finished look-up has found. RFC 8461, Section 3.3: where no policy
// can be had, delivery "MUST continue", so that the caller must not be sent away each
// time. Only where nothing is known is the answer err.
func (c *Client) best(name string, l *lookup, err *Error) (*Policy, error) {
	if err.Err == ErrClosed {
		return nil, err
	}
	if p := c.usedNow(name); p != nil {
		return p, nil
	}
	if l != nil {
		select {
		case <-l.answered:
			if p := l.entry.valid(time.Now()); p != nil {
				return p, nil // evicted from memory since
			}
		default:
		}
	}
	if p := c.cached(name).absence(); p != nil {
		return p, nil
	}
	return nil, err
}

// recheck waits for a check that begins no earlier than the call.
func (c *Client) recheck(ctx context.Context, name string) (*Policy, error) {
	called := c.since()
	for {
		l, err := c.join(name, &lookup{force: true, recheck: true})
		if err != nil {
			return nil, err
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, leftError(ctx, name)
		}
		switch {
		case l.began < called || !l.recheck || l.err == nil && !l.checked:
			continue // another caller's, begun too early or with less to do
		case l.err != nil:
			return nil, l.err
		case l.doubt != nil:
			return nil, l.doubt
		}
		return l.policy, nil
	}
}

func leftError(ctx context.Context, name string) *Error {
	return &Error{Domain: name, Reason: ReasonCallerLeft, Temporary: true,
		Err: fmt.Errorf("gave up waiting for the policy: %w", context.Cause(ctx))}
}

func closedError(name string) *Error {
	return &Error{Domain: name, Reason: ReasonClosed, Temporary: true, Err: ErrClosed}
}

// refreshNow does a job of Run, and returns its look-up; nil if ctx or the client has
// ended.
func (c *Client) refreshNow(ctx context.Context, j job) *lookup {
	for {
		l, err := c.join(j.domain, &lookup{job: &j})
		if err != nil {
			return nil
		}
		select {
		case l.hurry <- struct{}{}:
		default:
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil
		}
		if l.job != nil {
			return l
		}
		// A caller's look-up was under way.
	}
}

// join returns the look-up under way for a domain, or begins l.
func (c *Client) join(name string, l *lookup) (*lookup, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closedError(name)
	}
	if under := c.lookups[name]; under != nil {
		if under.next == nil && (l.recheck && !under.recheck || l.job != nil && under.job == nil) {
			under.next = l // or callers, who are many, would always be faster
		}
		return under, nil
	}
	if l.job == nil && len(c.lookups) >= maxLookups {
		return nil, &Error{Domain: name, Reason: ReasonBusy, Temporary: true, Err: errBusy}
	}
	c.begin(name, l)
	return l, nil
}

// begin begins l. The lock is held.
func (c *Client) begin(name string, l *lookup) {
	l.began, l.answered, l.done = c.since(), make(chan struct{}), make(chan struct{})
	l.hurry = make(chan struct{}, 1)
	c.lookups[name] = l
	c.work.Go(func() { c.run(name, l) })
}

// finish ends a look-up and lets its callers go.
func (c *Client) finish(name string, l *lookup) {
	c.mu.Lock()
	delete(c.lookups, name)
	if l.next != nil && !c.closed {
		c.begin(name, l.next)
	}
	c.mu.Unlock()
	close(l.done)
}
