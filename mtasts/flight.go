package mtasts

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A flight is one look at one domain, shared by all who wait for it. It belongs
// to the client, not to a caller: one whose context ends leaves, and the flight
// goes on and is remembered.
type flight struct {
	force bool          // look, however fresh the memory is
	job   *job          // fetch, whatever the TXT record says: see refreshNow
	began time.Duration // as Client.since counts

	// hurry, of capacity 1, is given by a refresh that waits for the look of callers: the
	// look then fetches in the place that the refresh has.
	hurry chan struct{}

	// answered is closed once there is something to answer with: remembered, or
	// else what the look has found.
	answered   chan struct{}
	remembered *Policy

	// looked is closed at the end. Then policy or err is set, looked at says
	// whether there was a look at all, and doubt why it told nothing certain.
	looked   chan struct{}
	policy   *Policy
	err      error
	lookedAt bool
	doubt    *Error

	// For a refresh: what is held after it, when it was last used, and why it could
	// not be fetched again.
	held    *Policy
	used    time.Time
	failure *Error
	blocked bool // it was not even tried
}

// maxFlights bounds the looks under way, most of which then wait for policy hosts that do
// not answer, and whose callers have long left. Run, which has a bound of its own, is let
// through, so that no flood of strangers can put a refresh off.
const maxFlights = 20_000

var errBusy = errors.New("too many domains are being looked at")

// find answers what memory alone could not.
func (c *Client) find(ctx context.Context, name string) (*Policy, error) {
	called := c.since()
	for {
		m := c.memo(name)
		remembers := m.remembers(time.Now())
		if remembers {
			c.used(m)
		}
		first := c.checkInterval < 0 || m.isDue() // look first, then answer
		f, err := c.join(name, c.checkInterval < 0)
		if remembers && !first {
			return m.policy, nil // the look happens behind it
		}
		if err != nil {
			return nil, err
		}
		if !first {
			select {
			case <-f.answered:
				if f.remembered.valid(time.Now()) {
					c.usedNow(name)
					return f.remembered, nil
				}
			case <-ctx.Done():
			}
		}
		select {
		case <-f.looked:
			if f.err == nil && (first && f.began < called || f.policy == nil) {
				continue // it may have been too early to see what this caller waits for
			}
			c.usedNow(name)
			return f.policy, f.err
		case <-ctx.Done():
		}
		// No newer one in time; or there is one already, and only storing it takes long.
		if p := c.usedNow(name); p != nil {
			return p, nil
		}
		return nil, leftError(ctx, name)
	}
}

// lookNow waits for a look that begins no earlier than the call.
func (c *Client) lookNow(ctx context.Context, name string) (*Policy, error) {
	called := c.since()
	for {
		f, err := c.join(name, true)
		if err != nil {
			return nil, err
		}
		select {
		case <-f.looked:
		case <-ctx.Done():
			return nil, leftError(ctx, name)
		}
		switch {
		case f.began < called || f.err == nil && !f.lookedAt:
			continue // somebody's flight, begun too early or answered from memory
		case f.err != nil:
			return nil, f.err
		case f.doubt != nil:
			return nil, f.doubt
		}
		return f.policy, nil
	}
}

func leftError(ctx context.Context, name string) *Error {
	return &Error{Domain: name, Reason: "caller-left", Temporary: true,
		Err: fmt.Errorf("gave up waiting for the policy: %w", context.Cause(ctx))}
}

// refreshNow does a job of Run, and returns its flight; nil if ctx or the client has
// ended.
func (c *Client) refreshNow(ctx context.Context, j job) *flight {
	for {
		f, err := c.launch(j.domain, &flight{job: &j})
		if err != nil {
			return nil
		}
		select {
		case f.hurry <- struct{}{}:
		default:
		}
		select {
		case <-f.looked:
		case <-ctx.Done():
			return nil
		}
		if f.job != nil {
			return f
		}
		// Somebody's look was under way.
	}
}

// join returns the flight under way for a domain, or starts one.
func (c *Client) join(name string, force bool) (*flight, error) {
	return c.launch(name, &flight{force: force})
}

// launch returns the flight under way for a domain, or lets f be it.
func (c *Client) launch(name string, f *flight) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closedError(name)
	}
	if under := c.flights[name]; under != nil {
		return under, nil
	}
	if f.job == nil && len(c.flights) >= maxFlights {
		return nil, &Error{Domain: name, Reason: "busy", Temporary: true, Err: errBusy}
	}
	f.began, f.answered, f.looked = c.since(), make(chan struct{}), make(chan struct{})
	f.hurry = make(chan struct{}, 1)
	c.flights[name] = f
	c.work.Go(func() { c.fly(name, f) })
	return f, nil
}

// land ends a flight and lets its callers go.
func (c *Client) land(name string, f *flight) {
	c.mu.Lock()
	delete(c.flights, name)
	c.mu.Unlock()
	close(f.looked)
	if f.remembered == nil {
		close(f.answered)
	}
}
