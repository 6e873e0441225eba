package mtasts

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// used notes that somebody has asked about the domain of m. How lately is written
// to the store at most once a day, and never by the caller.
func (c *Client) used(m *memo) {
	r := c.refresher.Load()
	if r == nil || !m.policy.lasts() {
		return
	}
	now := time.Now()
	m.used.Store(now)
	if now.Sub(m.storedUse.Load()) < 24*time.Hour {
		return
	}
	m.storedUse.Store(now)
	r.mu.Lock()
	r.uses[m.policy.Domain] = now
	r.mu.Unlock()
	r.consider(m.policy, now)
}

// usedNow is used for an answer that was not in memory when it was asked for. It returns
// what is remembered now, nil if nothing is.
func (c *Client) usedNow(name string) *Policy {
	m := c.memo(name)
	if !m.remembers(time.Now()) {
		return nil
	}
	c.used(m)
	return m.policy
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

// saveUses writes the uses that were noted. What fails is noted again by the next use,
// and a store that hangs is not waited for with each of them: Close waits for this.
func (r *refresher) saveUses() {
	r.mu.Lock()
	uses := r.uses
	r.uses = make(map[string]time.Time)
	r.mu.Unlock()
	writes := newLanes()
	var hangs atomic.Bool
	for domain, used := range uses {
		if hangs.Load() {
			break
		}
		writes.do(func() {
			if errors.Is(r.client.saveUse(domain, used), context.DeadlineExceeded) {
				hangs.Store(true)
			}
		})
	}
	writes.wait()
}

// saveUse writes that somebody last asked about domain at used, unless the store knows of
// a later time.
func (c *Client) saveUse(domain string, used time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), storeLimit)
	defer cancel()
	value, ok, err := c.store.Get(ctx, domain)
	if err != nil || !ok {
		return err
	}
	p, stored, err := decodeEntry(domain, value, parseFile)
	if err == nil && used.After(stored) {
		_, err = c.put(ctx, p, used)
	}
	return err
}
