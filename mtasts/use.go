package mtasts

import (
	"context"
	"sync/atomic"
	"time"
)

// used notes that somebody has asked about the domain of e. How lately is written
// to the store at most once a day, and never by the caller.
func (c *Client) used(e *cacheEntry) {
	r, p := c.refresher.Load(), e.policy.Load()
	if r == nil || p == nil || !p.lasts() {
		return
	}
	now := time.Now()
	e.lastUse.Store(now)
	if now.Sub(e.storedUse.Load()) < 24*time.Hour {
		return
	}
	e.storedUse.Store(now)
	r.noteUse(p.Domain, now)
	r.consider(p, now)
}

// noteUse notes a use for the next time that uses are saved.
func (r *refresher) noteUse(domain string, used time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uses[domain].Before(used) {
		r.uses[domain] = used
	}
}

// usedNow is used for an answer that was not in memory when it was asked for. It returns
// what is cached now, nil if nothing is.
func (c *Client) usedNow(name string) *Policy {
	e := c.cached(name)
	p := e.valid(time.Now())
	if p != nil {
		c.used(e)
	}
	return p
}

// lastUse is the later of what the store says and what is not stored yet.
func (r *refresher) lastUse(domain string, stored time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if noted, ok := r.uses[domain]; ok && noted.After(stored) {
		return noted
	}
	return stored
}

// saveUses writes the uses that were noted. What fails stays noted, for the next time; and
// a store that hangs is not waited for with each of them, because Close waits for this.
func (r *refresher) saveUses() {
	r.mu.Lock()
	uses := r.uses
	r.uses = make(map[string]time.Time)
	r.mu.Unlock()
	writes := newLanes()
	var hangs atomic.Bool
	for domain, used := range uses {
		writes.do(func() {
			saved := false
			if !hangs.Load() {
				var late bool
				saved, late = r.client.saveUse(domain, used)
				if late {
					hangs.Store(true)
				}
			}
			if !saved {
				r.noteUse(domain, used)
			}
		})
	}
	writes.wait()
}

// saveUse writes that somebody last asked about domain at used, unless the store knows of
// a later time, or not of the domain. saved means that the store has answered, late that
// the time limit was over before.
func (c *Client) saveUse(domain string, used time.Time) (saved, late bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), storeLimit)
	defer cancel()
	value, ok, err := c.store.Get(ctx, domain)
	if err == nil && ok {
		p, stored, damaged := decodeEntry(domain, value, parseFile)
		if damaged == nil && used.After(stored) {
			_, err = c.put(ctx, p, used)
		}
	}
	return err == nil, ctx.Err() != nil
}
