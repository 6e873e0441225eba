package mtasts

import "time"

// run finds out about a domain: what is cached or stored, then what is published.
func (c *Client) run(name string, l *lookup) {
	e, stored, unread := c.recall(name)
	if c.ctx.Err() != nil {
		l.err = closedError(name)
		c.finish(name, l)
		return
	}
	if l.job != nil {
		c.reload(name, e)
	}
	known := e.valid(time.Now())
	refresh := l.job != nil && known != nil
	if refresh {
		l.held = known
	}
	if c.answers(l, e, known, unread) {
		c.finish(name, l)
		return
	}
	begun := c.beginCheck(e)
	if known != nil {
		l.entry = e
		close(l.answered)
	}
	found := c.discover(name, e, l)
	if c.ctx.Err() != nil {
		l.err = closedError(name)
		c.finish(name, l)
		return
	}
	l.checked, l.doubt, l.failure, l.blocked = true, found.doubt, found.failed, found.blocked

	switch {
	case found.learnt != nil:
		l.policy = found.learnt
		if refresh {
			l.held = found.learnt
		}
		before := known
		if before == nil {
			before = stored
		}
		succeed(found.learnt, before)
		c.adopt(name, e, known, found, refresh, before != nil || unread != nil)
		c.endCheck(e, begun, known == nil || known.Text != found.learnt.Text, nil)
		if known != nil {
			c.emitChanges(known, found.learnt, found.seenID)
		}
	case found.kept != nil:
		// Nothing but a newer policy or the end of its life ends this one (RFC
		// 8461, Section 3.3: the sender MUST apply it).
		l.policy = found.kept
		c.endCheck(e, begun, false, found.doubt)
		if !refresh {
			c.storeAgain(e, found.kept)
		}
		if p := found.kept.withoutUntil(time.Now()); p != nil && e.policy.CompareAndSwap(found.kept, p) {
			c.writer.note(p, e.lastUse.Load(), true)
		}
	case unread != nil:
		// There may be a policy that cannot be read, and nothing takes its place.
		l.err = unread
		e.policy.Store(nil)
		c.endCheck(e, begun, false, found.doubt)
		c.hold(name, e)
	default:
		l.policy = noPolicy(name, found.cause)
		l.policy.client = c
		e.policy.Store(l.policy)
		c.endCheck(e, begun, false, found.doubt)
		c.hold(name, e)
	}
	c.finish(name, l)
}

// answers reports whether l needs no check, and sets its answer.
func (c *Client) answers(l *lookup, e *cacheEntry, known *Policy, unread error) bool {
	switch {
	case l.job != nil && known == nil && unread == nil:
		return true // evicted for the quota, or expired: nobody has asked for it anew
	case l.job != nil && known != nil:
		if known.Fetched.Equal(l.job.fetched) {
			return false
		}
		l.policy = known // another process, or another look-up, has done the job
		return true
	case l.force || c.since() >= time.Duration(e.checkAt.Load()):
		return false
	case known != nil: // another look-up has ended meanwhile
		l.policy = known
		return true
	case unread != nil: // a check was made a moment ago
		l.err = unread
		return true
	}
	l.policy = e.absence()
	return l.policy != nil
}

// recall returns what is known about a domain, from memory or else from the store: an
// entry of memory whose policy is valid, or one without. stored is then what the store
// has, valid or expired. An error means that there may be a policy which cannot be read:
// one that is fetched can take its place, and nothing else can.
func (c *Client) recall(name string) (e *cacheEntry, stored *Policy, err error) {
	e = c.cached(name)
	if e.valid(time.Now()) != nil {
		return e, nil, nil
	}
	stored, used, err := c.load(name)
	if e == nil {
		e = new(cacheEntry)
	}
	if stored.valid(time.Now()) && stored.lasts() {
		c.replace(name, e, stored, used) // and what is due stays due
	}
	return e, stored, err
}

// reload takes over what another process has stored since e was read.
func (c *Client) reload(name string, e *cacheEntry) {
	p, used, err := c.load(name)
	was := e.policy.Load()
	if err != nil || p == nil || was != nil && !p.stamp.After(was.stamp) {
		return
	}
	c.replace(name, e, p, c.lastUse(name, used))
}

// replace puts a stored policy into e, to be checked when somebody asks about it.
func (c *Client) replace(name string, e *cacheEntry, p *Policy, used time.Time) {
	e.policy.Store(p)
	e.checkAt.Store(int64(min(time.Duration(e.checkAt.Load()), c.since())))
	e.lastUse.Store(used)
	e.storedUse.Store(used)
	c.hold(name, e)
}

// adopt puts a policy that has just been fetched in the place of known. A refresh is no
// use of the domain. replaces means that the store may have the domain.
func (c *Client) adopt(name string, e *cacheEntry, known *Policy, found finding, refresh, replaces bool) {
	p, used := found.learnt, time.Now()
	p.client = c
	c.alarms.recovered(p)
	if refresh {
		used = e.lastUse.Load()
	}
	if known != nil {
		p.noteID(known, found.seenID)
	}
	// Noted before anybody can ask, and find neither memory nor store to know. What the
	// quota has refused or evicted does not come back by its refresh.
	switch unstored := e.unstored.Load(); {
	case unstored != 0 && !refresh:
		c.storeAgain(e, p)
	case unstored == 0 && (p.lasts() || replaces):
		c.writer.note(p, used, replaces)
	}
	if !p.lasts() {
		e.policy.Store(nil)
		c.memory.Remove(name)
		return
	}
	e.policy.Store(p)
	if used.After(e.lastUse.Load()) {
		e.lastUse.Store(used)
	}
	e.storedUse.Store(used)
	c.hold(name, e)
}
