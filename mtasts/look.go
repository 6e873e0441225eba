package mtasts

import "time"

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
		if before := m.fresh.Load(); before >= 0 && !m.owed.Load() {
			// One look is enough: while it is under way, others are answered as before.
			c.keepFresh(m, before, lookLimit)
		}
	}

	before := m.fresh.Load()
	owed := before == due || m.owed.Load()
	if owed && m.fresh.CompareAndSwap(before, looking) {
		before = looking
	}
	found := c.discover(name, m, refresh, f.hurry)
	if c.ctx.Err() != nil {
		f.err = closedError(name)
		c.land(name, f)
		return
	}
	f.lookedAt, f.doubt, f.failure, f.blocked = true, found.doubt, found.failed, found.blocked

	var toSave *held
	switch {
	case found.learnt != nil:
		f.policy = found.learnt
		used := time.Now()
		if refresh {
			f.held, used = found.learnt, f.used
		}
		c.adopt(name, found.learnt, m, used)
		if found.learnt.lasts() || remembers {
			// Held before anybody can ask, and find neither memory nor store to know.
			toSave = c.unsaved.hold(found.learnt, used, remembers, m.unsaved.Swap(0))
		}
	case found.kept != nil:
		// Nothing but a newer policy or the end of its life ends this one (RFC
		// 8461, Section 3.3: the sender MUST apply it).
		f.policy = found.kept
		m.owed.Store(owed && found.doubt != nil)
		c.keepFresh(m, before, found.span(c))
		if why := m.unsaved.Swap(0); why != 0 {
			toSave = c.unsaved.hold(found.kept, m.used.Load(), false, why)
		}
	case unread != nil:
		// There may be a policy that cannot be read, and nothing takes its place.
		f.err = unread
		c.keepAbsent(name, nil, m, found)
	default:
		f.policy = noPolicy(name, found.cause)
		c.keepAbsent(name, f.policy, m, found)
	}
	reserved := toSave != nil && c.reserve()
	if toSave != nil && !reserved {
		c.putOff(toSave, errLater)
	}
	c.land(name, f)
	if reserved {
		c.save(toSave)
	}
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
	c.keepFresh(&next.Value, 0, c.checkInterval)
	c.remember(name, next)
	if r := c.refresher.Load(); r != nil {
		r.consider(p, used)
	}
}
