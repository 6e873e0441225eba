package mtasts

import "time"

// check does the work of a look-up. It reads what is cached or stored, checks what is published,
// and caches and stores the result.
func (c *Client) check(name string, l *lookup) {
	defer c.finish(name, l)
	e, stored, readErr := c.read(name, l.job != nil)
	known := e.valid(time.Now())
	if c.ctx.Err() != nil {
		l.err = closedError(name)
		return
	}
	if c.needsNoCheck(l, e, known, readErr) {
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
		if latest := e.valid(time.Now()); latest != nil && c.sharing != nil {
			known = latest // of another client
		}
		if known != nil {
			before = known
			p.noteID(known, found.seenID)
		}
		succeed(p, before)
		c.adopt(e, p, l.job != nil, before != nil || readErr != nil)
		c.endCheck(e, violations, known == nil || known.Text != p.Text, nil)
		if known != nil {
			c.emitChanges(known, p, found.seenID)
		}
		l.policy = p
		return
	case found.shared != nil:
		c.adoptStored(e, found.shared, e.lastUsed())
		c.endCheck(e, violations, known == nil || known.Text != found.shared.Text, nil)
		l.policy = found.shared
		return
	case found.kept != nil:
		// RFC 8461, Section 3.3: the sender MUST apply it. Nothing but a newer policy or
		// the end of its life ends it.
		l.policy = found.kept
		if c.endUnstored(e) { // there may be room for it now
			c.writer.note(found.kept, e.lastUsed(), false)
		}
		if p := found.kept.withoutUntil(time.Now()); p != nil {
			e.setPolicy(p)
			c.writer.note(p, e.lastUsed(), true)
		}
	case readErr != nil:
		// There may be a policy that cannot be read. Only a fetched one replaces it.
		l.err = readErr
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
func (c *Client) needsNoCheck(l *lookup, e *cacheEntry, known *Policy, readErr error) bool {
	switch {
	case l.job != nil && known == nil:
		return true // evicted for the quota, or expired: nothing to refresh
	case l.job != nil && known.Fetched.Equal(l.job.fetched):
		return false
	case l.job != nil:
		l.policy = known // another process or look-up has refreshed it
	case l.recheck || c.checkInterval < 0 || c.since() >= time.Duration(e.checkAt.Load()):
		return false
	case known != nil: // another look-up has just ended
		l.policy = known
	case readErr != nil: // a check has just been made, and found no policy
		l.err = readErr
	default:
		l.policy = e.absence()
	}
	return l.policy != nil || l.err != nil
}

// read returns what memory holds about a domain. If memory has no valid policy, read puts that
// of the store there. A refresh always reads the store, because another process may have stored
// a newer policy. If the store is shared, each check does.
//
// stored is the policy of the store, valid or expired. It is nil if the store was not read or
// has none newer than memory. An error means that the store may have a policy, but cannot be
// read.
func (c *Client) read(name string, refresh bool) (e *cacheEntry, stored *Policy, err error) {
	e = c.cached(name)
	if e == nil {
		e = new(cacheEntry)
		if c.sharing != nil && !refresh {
			c.hold(name, e) // so that sharing.notice finds it
		}
	}
	known := e.valid(time.Now())
	if known != nil && !refresh && c.sharing == nil {
		return e, nil, nil
	}
	load := c.load
	if known != nil && c.sharing != nil {
		load = c.loadStored // a failure is no event, because memory serves
	}
	stored, used, err := load(name)
	if known == nil && stored == nil && err == nil {
		var waited bool
		if waited, err = c.sharing.settle(name); waited {
			stored, used, err = c.load(name)
		}
	}
	if added := c.cached(name); added != nil && known == nil {
		e = added // by a violation meanwhile
	}
	if known != nil && c.sharing != nil && err == nil {
		c.sharing.compare(e, name, stored, used)
	}
	if known != nil && (err != nil || stored == nil || !stored.stamp.After(known.stamp)) {
		return e, nil, nil
	}
	if stored.valid(time.Now()) && stored.lasts() {
		e.checkAt.Store(0) // the next caller begins a check
		c.adoptStored(e, stored, used)
	}
	return e, stored, err
}

// adoptStored makes stored, which was last used at used, the policy of e.
func (c *Client) adoptStored(e *cacheEntry, stored *Policy, used time.Time) {
	e.setPolicy(stored)
	e.storedUse.Store(used.Unix())
	e.lastUse.Store(c.lastUse(stored.Domain, used).Unix())
	c.hold(stored.Domain, e)
}

// adopt makes p, just fetched, the policy of e. replaces means that the store may have an older
// one. A refresh does not count as a use of the domain.
func (c *Client) adopt(e *cacheEntry, p *Policy, refresh, replaces bool) {
	p.client = c
	c.alarms.recovered(p)
	if !refresh {
		e.lastUse.Store(time.Now().Unix())
	}
	if p.lasts() || replaces { // a policy with max_age 0 ends the stored one
		// p is noted before memory changes, so that load finds it at any moment.
		wasUnstored := c.endUnstored(e)
		if !c.writer.note(p, e.lastUsed(), replaces && !wasUnstored) {
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
