package mtasts

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// scan walks through the store every few hours, and at once when it is crowded, until
// ctx ends.
func (r *refresher) scan(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-r.crowded:
		case <-ctx.Done():
			return
		}
		start := time.Now()
		r.mu.Lock()
		r.horizon = start.Add(scanEvery)
		r.mu.Unlock()
		r.walk(ctx)
		r.saveUses()
		timer.Reset(time.Until(start.Add(scanEvery)))
	}
}

// walk plans what is due before the next walk, removes what has expired, and makes
// room if there is too much.
func (r *refresher) walk(ctx context.Context) {
	var t tally
	now, before := time.Now(), r.stored.Load()
	deletes := newLanes()
	whole := r.each(ctx, func(key string, p *Policy, used time.Time, size int) bool {
		switch {
		case p.valid(now) && p.lasts():
			used = r.lastUse(key, used)
			r.consider(p, used)
			t.add(p, used, now, size)
		case now.Sub(p.Expires) > prunedAfter:
			deletes.do(func() { r.client.remove(ctx, p) }) // what fails is tried again on the next walk
		}
		return true
	})
	deletes.wait()
	if whole {
		r.stored.Add(t.total - before) // what has come meanwhile may count twice
	}
	r.known.Store(whole)
	r.makeRoom(ctx, t)
}

// each calls f with each entry of the store until f returns false; it reports whether
// it came to the end or to that. It goes in batches, so that no store holds a
// transaction open for long. An entry that is damaged is left to whoever asks for it.
func (r *refresher) each(ctx context.Context, f func(key string, p *Policy, used time.Time, size int) bool) bool {
	c := r.client
	complained := false
	for after := ""; ctx.Err() == nil; {
		batch, cancel := context.WithTimeout(ctx, storeLimit)
		keys, values, err := c.store.Scan(batch, after, scanBatch)
		cancel()
		if err != nil && !complained && ctx.Err() == nil {
			complained = true
			c.unreadable(&Error{Reason: "store-unreadable", Temporary: true, Err: fmt.Errorf("reading the store: %w", err)})
		}
		for i, key := range keys {
			p, used, err := decodeEntry(key, values[i], parseFile)
			if err == nil && !f(key, p, used, len(key)+len(values[i])) {
				return true
			}
		}
		if len(keys) == 0 && err != nil {
			return false
		}
		if len(keys) < scanBatch {
			if !complained {
				c.allReadable()
			}
			return true
		}
		after = keys[len(keys)-1]
	}
	return false
}

// prunedAfter is how long an entry must have been expired before it is removed. By
// then nobody is about to renew it.
const prunedAfter = 24 * time.Hour

// remove removes the entry of p, unless a newer one has taken its place meanwhile.
func (c *Client) remove(ctx context.Context, p *Policy) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return c.store.Delete(ctx, p.Domain, p.stamp)
}

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

// policyHostKey tells policy hosts apart by where they are: by an address, or where
// none can be found by name.
func (c *Client) policyHostKey(ctx context.Context, domain string) string {
	host := sts.PolicyLabel + domain
	if c.lookupNetIP == nil {
		return host
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	addrs, err := c.lookupNetIP(ctx, "ip", host+".")
	if err != nil || len(addrs) == 0 {
		return host
	}
	return addrs[0].String()
}
