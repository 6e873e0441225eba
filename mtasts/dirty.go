package mtasts

import "time"

// maxDirty bounds what waits to be written while the store cannot be written, in KiB.
const maxDirty = 64 << 10

// A dirtyPolicy is a policy that waits to be written.
type dirtyPolicy struct {
	policy   *Policy
	used     time.Time
	replaces bool // the store has an entry of the domain
}

// note makes p dirty, which was last used at used. replaces means that the store has an entry of
// the domain. note reports false if there is no room for p.
func (w *writer) note(p *Policy, used time.Time, replaces bool) bool {
	noted := true
	for _, d := range w.add(&dirtyPolicy{policy: p, used: used, replaces: replaces}) {
		noted = noted && d.policy != p
		w.client.setUnstored(d.policy, dropped)
		w.client.emit(Event{Kind: EventEvicted, Domain: d.policy.Domain, Policy: d.policy, Reason: ReasonStoreUnwritable})
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
	return noted
}

// add makes d dirty. If that is too much, it drops the policies that protect least, and returns
// them.
func (w *writer) add(d *dirtyPolicy) (lost []*dirtyPolicy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.dirty[d.policy.Domain]; before != nil {
		w.remove(before)
		d.replaces = d.replaces || before.replaces
		if before.used.After(d.used) {
			d.used = before.used
		}
		if before.policy.stamp.After(d.policy.stamp) {
			d.policy = before.policy // d notes a use of an older policy
		}
	}
	w.dirty[d.policy.Domain] = d
	w.cost += cost(d.policy)
	if w.cost <= maxDirty {
		return nil
	}
	for _, mode := range modes {
		for _, d := range w.dirty {
			if w.cost <= maxDirty*15/16 {
				return lost
			}
			if d.policy.Mode == mode {
				w.remove(d)
				w.dropped++
				lost = append(lost, d)
			}
		}
	}
	return lost
}

// remove removes d from dirty, unless another dirtyPolicy has replaced it. The lock is held.
func (w *writer) remove(d *dirtyPolicy) {
	if w.dirty[d.policy.Domain] == d {
		delete(w.dirty, d.policy.Domain)
		w.cost -= cost(d.policy)
	}
}

// get returns the dirty policy of a domain and its last use, or nil.
func (w *writer) get(domain string) (*Policy, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.dirty[domain]; d != nil {
		return d.policy, d.used
	}
	return nil, time.Time{}
}

// forget drops what is dirty of a domain. A write that is under way goes on.
func (w *writer) forget(domain string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.dirty[domain]; d != nil {
		w.remove(d)
	}
}

// unsaved returns how many policies are dirty.
func (w *writer) unsaved() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.dirty)
}

// take returns up to size dirty policies that are not in except.
func (w *writer) take(size int, except map[*dirtyPolicy]bool) (batch []*dirtyPolicy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.dirty {
		if len(batch) == size {
			break
		}
		if !except[d] {
			batch = append(batch, d)
		}
	}
	return batch
}

// settle removes a batch from dirty that was written or refused.
func (w *writer) settle(batch ...*dirtyPolicy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range batch {
		w.remove(d)
	}
}

// Why a policy is neither stored nor dirty.
const (
	refused = 1 // because of the quota
	dropped = 2 // because of maxDirty
)

// setUnstored notes that p is neither stored nor dirty.
func (c *Client) setUnstored(p *Policy, why uint32) {
	e := c.cached(p.Domain)
	if e == nil {
		return
	}
	if held := e.policy.Load(); held != nil && held.stamp.Equal(p.stamp) {
		e.unstored.Store(why)
	}
}

// endUnstored reports whether the policy of e is neither stored nor dirty. If so, the caller must
// note it.
func (c *Client) endUnstored(e *cacheEntry) bool {
	why := e.unstored.Swap(0)
	if why == dropped {
		c.writer.mu.Lock()
		c.writer.dropped--
		c.writer.mu.Unlock()
	}
	return why != 0
}
