package mtasts

import (
	"context"
	"fmt"
	"time"
)

// A flight is one look at one domain, shared by all who wait for it. It belongs
// to the client, not to a caller: one whose context ends leaves, and the flight
// goes on and is remembered.
type flight struct {
	force bool          // look, however fresh the memory is
	began time.Duration // as Client.since counts

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
}

// find answers what memory alone could not.
func (c *Client) find(ctx context.Context, name string) (*Policy, error) {
	m, _ := c.memory.Get(name)
	first := c.recheck < 0 || m.isDue() // look first, then answer
	f, err := c.join(name, c.recheck < 0)
	if m.remembers(time.Now()) && !first {
		return m.policy, nil // the look happens behind it
	}
	if err != nil {
		return nil, err
	}
	if !first {
		select {
		case <-f.answered:
			if f.remembered.valid(time.Now()) {
				return f.remembered, nil
			}
		case <-ctx.Done():
		}
	}
	select {
	case <-f.looked:
		return f.policy, f.err
	case <-ctx.Done():
	}
	if m.remembers(time.Now()) {
		return m.policy, nil // no newer one in time
	}
	return nil, leftError(ctx, name)
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
		case f.doubt != nil && f.remembered != nil:
			return nil, f.doubt
		}
		return f.policy, nil
	}
}

func leftError(ctx context.Context, name string) *Error {
	return &Error{Domain: name, Reason: "caller-left", Temporary: true,
		Err: fmt.Errorf("gave up waiting for the policy: %w", context.Cause(ctx))}
}

// join returns the flight under way for a domain, or starts one.
func (c *Client) join(name string, force bool) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closedError(name)
	}
	f := c.flights[name]
	if f == nil {
		f = &flight{force: force, began: c.since(), answered: make(chan struct{}), looked: make(chan struct{})}
		c.flights[name] = f
		c.work.Go(func() { c.fly(name, f) })
	}
	return f, nil
}

// fly finds out about a domain: what is remembered, then what is published.
func (c *Client) fly(name string, f *flight) {
	m, err := c.recall(name)
	if err != nil && !isDamaged(err) {
		f.err = err
		c.land(name, f)
		return
	}
	if c.since() < m.freshUntil() && !f.force {
		f.policy = m.policy // another flight has landed since the caller looked
		c.land(name, f)
		return
	}
	if m.remembers(time.Now()) {
		f.remembered = m.policy
		close(f.answered)
	}

	before := m.fresh.Load()
	if before == due && m.fresh.CompareAndSwap(due, 0) {
		before = 0
	}
	found := c.discover(name, m)
	if c.ctx.Err() != nil {
		f.err = closedError(name)
		c.land(name, f)
		return
	}
	f.lookedAt, f.doubt = true, found.doubt

	switch {
	case found.policy != nil:
		f.policy = found.policy
		c.adopt(name, found.policy, m)
	case m.remembers(time.Now()):
		// Nothing but a newer policy or the end of its life ends this one (RFC
		// 8461, Section 3.3: the sender MUST apply it).
		f.policy = m.policy
		c.keepFresh(m, before, found.span(c))
	case err != nil:
		f.err = err // what was stored is damaged, and nothing takes its place
	default:
		f.policy = noPolicy(name, found.cause)
		absent := &memo{policy: f.policy}
		absent.blocked.Store(m.blocked.Load())
		c.keepFresh(absent, 0, found.span(c))
		c.remember(name, absent)
	}
	learnt := found.policy
	if learnt == nil || !learnt.lasts() && !m.remembers(time.Now()) {
		c.land(name, f)
		return
	}
	c.unsaved.hold(learnt) // before anybody can ask, and find neither memory nor store to know
	c.land(name, f)
	c.save(learnt)
}

// adopt puts a policy that has just been fetched in the place of what was known.
func (c *Client) adopt(name string, p *Policy, m *memo) {
	p.client = c
	if m.policy != nil && m.policy.Cause == nil && !p.stamp.After(m.policy.stamp) {
		// The clock has been set back; the newer policy must still win.
		p.stamp = m.policy.stamp.Add(1)
	}
	if !p.lasts() {
		c.memory.Remove(name) // what was remembered before has been replaced
		return
	}
	next := &memo{policy: p}
	c.keepFresh(next, 0, c.recheck)
	c.remember(name, next)
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
