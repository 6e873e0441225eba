package mtasts

import "time"

// run does a look-up: it reads what is cached or stored, checks what is published, and
// caches and stores the result.
func (c *Client) run(name string, l *lookup) {
	defer c.finish(name, l)
	e, stored, unread := c.read(name, l.job != nil)
	known := e.valid(time.Now())
	if c.ctx.Err() != nil {
		l.err = closedError(name)
		return
	}
	if c.needsNoCheck(l, e, known, unread) {
		return
	}
	violations := c.beginCheck(e)
	if known != nil {
		l.entry = e
		close(l.answered)
	}
	found := c.discover(name, e, l)
	if c.ctx.Err() != nil {
		l.err = closedError(name)
		return
	}
	l.found = found

	switch {
	case found.fetched != nil:
		p, before := found.fetched, stored
		if known != nil {
			before = known
			p.noteID(known, found.seenID)
		}
		succeed(p, before)
		c.adopt(e, p, l.job != nil, before != nil || unread != nil)
		c.endCheck(e, violations, known == nil || known.Text != p.Text, nil)
		if known != nil {
			c.emitChanges(known, p, found.seenID)
		}
		l.policy = p
		return
	case found.kept != nil:
		// RFC 8461, Section 3.3: the sender MUST apply it. Nothing but a newer policy or
		// the end of its life ends it.
		l.policy = found.kept
		if c.endUnstored(e) {
			c.writer.note(found.kept, e.lastUsed(), false)
		}
		if p := found.kept.withoutUntil(time.Now()); p != nil && e.policy.CompareAndSwap(found.kept, p) {
			c.writer.note(p, e.lastUsed(), true)
		}
	case unread != nil:
		// There may be a policy that cannot be read. Only a fetched one replaces it.
		l.err = unread
		e.setPolicy(nil)
		c.hold(name, e)
	default:
		l.policy = noPolicy(name, found.err)
		l.policy.client = c
		e.setPolicy(l.policy)
		c.hold(name, e)
	}
	c.endCheck(e, violations, false, found.incomplete())
}

// needsNoCheck sets the answer of l, if it has one without a check.
func (c *Client) needsNoCheck(l *lookup, e *cacheEntry, known *Policy, unread error) bool {
	switch {
	case l.job != nil && known == nil:
		return true // evicted for the quota, or expired: it comes back when it is asked for
	case l.job != nil && known.Fetched.Equal(l.job.fetched):
		return false
	case l.job != nil:
		l.policy = known // another process or look-up has refreshed it
	case l.recheck || c.checkInterval < 0 || c.since() >= time.Duration(e.checkAt.Load()):
		return false
	case known != nil: // another look-up has ended meanwhile
		l.policy = known
	case unread != nil: // a check was made a moment ago
		l.err = unread
	default:
		l.policy = e.absence()
	}
	return l.policy != nil || l.err != nil
}

// read returns what memory holds about a domain, with the policy that the store has if
// memory has none that is valid. A refresh always reads the store: another process may have
// stored a newer policy. stored is that of the store, valid or expired, where it was read
// and is newer. An error means that there may be a policy which cannot be read.
func (c *Client) read(name string, refresh bool) (e *cacheEntry, stored *Policy, err error) {
	e = c.cached(name)
	if e == nil {
		e = new(cacheEntry)
	}
	known := e.valid(time.Now())
	if known != nil && !refresh {
		return e, nil, nil
	}
	stored, used, err := c.load(name)
	if known != nil && (err != nil || stored == nil || !stored.stamp.After(known.stamp)) {
		return e, nil, nil
	}
	if stored.valid(time.Now()) && stored.lasts() {
		e.setPolicy(stored)
		e.checkAt.Store(0) // due when it is asked for
		e.storedUse.Store(used.Unix())
		e.lastUse.Store(c.lastUse(name, used).Unix())
		c.hold(name, e)
	}
	return e, stored, err
}

// adopt makes p, just fetched, the policy of e. replaces means that the store may have
// another one. A refresh is no use of the domain.
func (c *Client) adopt(e *cacheEntry, p *Policy, refresh, replaces bool) {
	p.client = c
	c.alarms.recovered(p)
	if !refresh {
		e.lastUse.Store(time.Now().Unix())
	}
	if p.lasts() || replaces { // with max_age 0 it ends the stored one
		// p is noted before memory changes, so that load finds it in any case.
		again := c.endUnstored(e)
		if !c.writer.note(p, e.lastUsed(), replaces && !again) {
			e.unstored.Store(dropped)
		}
	}
	if !p.lasts() {
		e.setPolicy(nil)
		c.memory.Remove(p.Domain)
		return
	}
	e.setPolicy(p)
	e.storedUse.Store(e.lastUse.Load())
	c.hold(p.Domain, e)
}
