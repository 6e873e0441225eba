package mtasts

import (
	"context"
	"fmt"
	"time"
)

// scan walks through the store every few hours, earlier if more is due before than can be
// planned, and at once when it is crowded, until ctx ends.
func (r *refresher) scan(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pause time.Duration // as long as the last walk took
	for {
		select {
		case <-timer.C:
		case <-r.crowded:
		case <-r.closer:
			timer.Reset(max(r.untilWalk(), pause))
			continue
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		r.horizon = time.Now().Add(scanEvery)
		r.mu.Unlock()
		start := time.Now()
		r.walk(ctx)
		r.saveUses()
		pause = time.Since(start)
		timer.Reset(max(r.untilWalk(), pause))
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
		case now.Sub(p.Expires) > removedAfter:
			deletes.do(func() { r.client.remove(ctx, p) }) // what fails is tried again on the next walk
		}
		return true
	})
	deletes.wait()
	for _, h := range r.client.unsaved.all() { // which the store does not know of
		r.consider(h.policy, h.used)
	}
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
			c.unreadable(&Error{Reason: ReasonStoreUnreadable, Temporary: true, Err: fmt.Errorf("reading the store: %w", err)})
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

// removedAfter is how long an entry must have been expired before it is removed. By
// then nobody is about to renew it.
const removedAfter = 24 * time.Hour

// remove removes the entry of p, unless a newer one has taken its place meanwhile.
func (c *Client) remove(ctx context.Context, p *Policy) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return c.store.Delete(ctx, p.Domain, p.stamp)
}
