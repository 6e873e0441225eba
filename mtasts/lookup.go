package mtasts

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A lookup is one look-up of one domain, shared by all who wait for it. It belongs to the
// client, not to a caller: if the context of a caller ends, the look-up goes on, and its
// result is cached.
type lookup struct {
	recheck bool          // see Client.Recheck
	job     *job          // a refresh: fetch, whatever the TXT record says
	began   time.Duration // as Client.since counts

	// A refresh that waits for a look-up of callers sends to hurry, which has capacity 1.
	// The look-up then needs no place to fetch, because the refresh has one.
	hurry chan struct{}

	// answered is closed once entry has a policy to answer with. Callers read that from
	// entry: a newer policy may be fetched meanwhile, and must not be followed by the older.
	answered chan struct{}
	entry    *cacheEntry

	// next begins as soon as this look-up has ended, for those whom this one does not serve.
	next *lookup // guarded by Client.mu

	// Once done is closed, policy or err is set. For a refresh without anything to refresh
	// neither is. found is empty if no check was needed.
	done   chan struct{}
	policy *Policy
	err    error
	found  finding
}

// maxLookups bounds the look-ups under way. In a flood of domains most of them wait for
// policy hosts that do not answer. Run, which has a bound of its own, is let through, so that
// no flood puts a refresh off.
const maxLookups = 20_000

var errBusy = errors.New("too many domains are being looked up")

// find returns the answer where fresh has none.
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
		checkFirst := c.checkInterval < 0 || e.isDue()
		l, err := c.join(name, new(lookup))
		if known != nil && !checkFirst {
			return known, nil // the check goes on behind the answer
		}
		if err != nil {
			return c.best(name, err)
		}
		if !checkFirst {
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
			if l.err == nil && (l.policy == nil || checkFirst && l.began < called) {
				continue // a refresh of nothing, or a check that began before this call
			}
			c.usedNow(name)
			return l.policy, l.err
		case <-ctx.Done():
			return c.best(name, callerLeft(ctx, name))
		}
	}
}

// best returns the answer for a caller that cannot wait for a look-up: the cached policy, or
// what the last look-up found. RFC 8461, Section 3.3: without a policy delivery "MUST
// continue", so the same caller must not fail each time. err is the answer only if nothing is
// known.
func (c *Client) best(name string, err *Error) (*Policy, error) {
	if err.Err == ErrClosed {
		return nil, err
	}
	if p := c.usedNow(name); p != nil {
		return p, nil
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
		l, err := c.join(name, &lookup{recheck: true})
		if err != nil {
			return nil, err
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, callerLeft(ctx, name)
		}
		if !l.recheck || l.began < called {
			continue
		}
		if err := l.found.incomplete(); err != nil {
			return nil, err
		}
		return l.policy, l.err
	}
}

// refresh makes the look-up of a job of Run, and returns it once it has ended. It returns nil
// if ctx or the client ends.
func (c *Client) refresh(ctx context.Context, j job) *lookup {
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
	}
}

func callerLeft(ctx context.Context, name string) *Error {
	return &Error{Domain: name, Reason: ReasonCallerLeft, Temporary: true,
		Err: fmt.Errorf("the caller stopped waiting for the policy: %w", context.Cause(ctx))}
}

func closedError(name string) *Error {
	return &Error{Domain: name, Reason: ReasonClosed, Temporary: true, Err: ErrClosed}
}

// join returns the look-up of a domain that is under way, or begins l.
func (c *Client) join(name string, l *lookup) (*lookup, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closedError(name)
	}
	if current := c.lookups[name]; current != nil {
		// A recheck or refresh that current does not serve comes next. Callers, who are
		// many, cannot get in before it.
		if current.next == nil && (l.recheck && !current.recheck || l.job != nil && current.job == nil) {
			current.next = l
		}
		return current, nil
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

// finish ends a look-up.
func (c *Client) finish(name string, l *lookup) {
	c.mu.Lock()
	delete(c.lookups, name)
	if l.next != nil && !c.closed {
		c.begin(name, l.next)
	}
	c.mu.Unlock()
	close(l.done)
}
