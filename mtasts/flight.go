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

// maxFlights bounds the looks under way for callers, most of which then wait for policy
// hosts that do not answer, and whose callers have long left. Run has its own bound, so
// that no flood of strangers can put a refresh off.
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
		first := c.recheck < 0 || m.isDue() // look first, then answer
		f, err := c.join(name, c.recheck < 0)
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
	c.flights[name] = f
	c.work.Go(func() { c.fly(name, f) })
	return f, nil
}

// fly finds out about a domain: what is remembered, then what is published.
func (c *Client) fly(name string, f *flight) {
	m, unread := c.recall(name)
	if c.ctx.Err() != nil {
		f.err = closedError(name)
		c.land(name, f)
		return
	}
	if f.job != nil {
		m = c.newest(name, m)
	}
	remembers := m.remembers(time.Now())
	if f.job != nil && !remembers && unread == nil {
		// Given up for the quota, or expired: nobody has asked for it to be found anew.
		c.land(name, f)
		return
	}
	refresh := f.job != nil && remembers
	if refresh {
		f.held, f.used = m.policy, m.used.Load()
	}
	answers := m.policy != nil || unread != nil
	if refresh && m.policy.Fetched.After(f.job.fetched) || !refresh && !f.force && answers && c.since() < m.freshUntil() {
		// Another process has done the job, or another flight has landed
		// meanwhile; or what could not be read was looked for a moment ago.
		if f.policy = m.policy; f.policy == nil {
			f.err = unread
		}
		c.land(name, f)
		return
	}
	if remembers {
		f.remembered = m.policy
		close(f.answered)
	}

	before := m.fresh.Load()
	owed := before == due || m.owed.Load()
	if owed && m.fresh.CompareAndSwap(before, looking) {
		before = looking
	}
	found := c.discover(name, m, refresh)
	if c.ctx.Err() != nil {
		f.err = closedError(name)
		c.land(name, f)
		return
	}
	f.lookedAt, f.doubt, f.failure, f.blocked = true, found.doubt, found.failed, found.blocked

	switch {
	case found.learnt != nil:
		f.policy = found.learnt
		used := time.Now()
		if refresh {
			f.held, used = found.learnt, f.used
		}
		c.adopt(name, found.learnt, m, used)
		if found.learnt.lasts() || remembers {
			// Where the disk is slower than the network callers wait for it, or what
			// waits to be stored would grow without bound.
			c.saving <- struct{}{}
			// Held before anybody can ask, and find neither memory nor store to know.
			h := c.unsaved.hold(found.learnt, used, remembers, m.unsaved.Swap(0))
			defer func() {
				c.save(h)
				<-c.saving
			}()
		}
	case found.kept != nil:
		// Nothing but a newer policy or the end of its life ends this one (RFC
		// 8461, Section 3.3: the sender MUST apply it).
		f.policy = found.kept
		m.owed.Store(owed && found.doubt != nil)
		c.keepFresh(m, before, found.span(c))
		if why := m.unsaved.Swap(0); why != 0 {
			defer c.save(c.unsaved.hold(found.kept, m.used.Load(), false, why))
		}
	case unread != nil:
		// There may be a policy that cannot be read, and nothing takes its place.
		f.err = unread
		c.keepAbsent(name, nil, m, found)
	default:
		f.policy = noPolicy(name, found.cause)
		c.keepAbsent(name, f.policy, m, found)
	}
	c.land(name, f)
}

// keepAbsent remembers in memory that there is no policy to apply, as p says, or as
// an error does for which p is nil.
func (c *Client) keepAbsent(name string, p *Policy, m *memo, found finding) {
	absent := emptyMemo(p)
	absent.Value.blocked.Store(m.blocked.Load())
	c.keepFresh(&absent.Value, 0, found.span(c))
	c.remember(name, absent)
}

// adopt puts a policy that has just been fetched in the place of what was known.
func (c *Client) adopt(name string, p *Policy, m *memo, used time.Time) {
	p.client = c
	if m.remembers(p.Fetched) {
		c.emitChanges(m.policy, p)
	}
	if m.policy != nil && m.policy.Cause == nil && !p.stamp.After(m.policy.stamp) {
		// The clock has been set back; the newer policy must still win.
		p.stamp = m.policy.stamp.Add(1)
	}
	if !p.lasts() {
		c.memory.Remove(name) // what was remembered before has been replaced
		return
	}
	next := newMemo(p, used)
	c.keepFresh(&next.Value, 0, c.recheck)
	c.remember(name, next)
	if r := c.refresher.Load(); r != nil {
		r.consider(p, used)
	}
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
