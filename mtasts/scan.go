package mtasts

import (
	"context"
	"net/netip"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// scan walks through the store again and again, until ctx ends.
func (r *refresher) scan(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
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

// walk plans what is due before the next walk, and removes what has expired. It
// goes in batches, so that no store holds a transaction open for long. An entry that
// is damaged is left to whoever asks for it.
func (r *refresher) walk(ctx context.Context) {
	c := r.client
	for after := ""; ctx.Err() == nil; {
		batch, cancel := context.WithTimeout(ctx, storeLimit)
		keys, values, err := c.store.Scan(batch, after, scanBatch)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				c.emitError(EventStore, nil, &Error{Reason: "store-unreadable", Temporary: true, Err: err})
			}
			return
		}
		now := time.Now()
		for i, key := range keys {
			p, used, err := decodeEntry(key, values[i])
			switch {
			case err != nil:
			case p.valid(now) && p.lasts():
				r.consider(p, r.lastUse(key, used))
			case now.Sub(p.Expires) > prunedAfter:
				c.prune(key)
			}
		}
		if len(keys) < scanBatch {
			return
		}
		after = keys[len(keys)-1]
	}
}

// prunedAfter is how long an entry must have been expired before it is removed. By
// then nobody is about to renew it.
const prunedAfter = 24 * time.Hour

// prune removes an expired entry, unless it has been renewed meanwhile.
func (c *Client) prune(domain string) {
	ctx, cancel := context.WithTimeout(c.ctx, storeLimit)
	defer cancel()
	value, ok, err := c.store.Get(ctx, domain)
	if err != nil || !ok {
		return
	}
	if p, _, err := decodeEntry(domain, value); err == nil && time.Since(p.Expires) > prunedAfter {
		c.store.Delete(ctx, domain) // one that fails is tried again on the next walk
	}
}

// used notes that somebody has asked about the domain of m. How lately is written
// to the store at most once a day, and never by the caller.
func (c *Client) used(m *memo) {
	r := c.refresher.Load()
	if r == nil || !m.policy.lasts() {
		return
	}
	now := time.Now()
	m.used.Store(now.Unix())
	if now.Unix()-m.storedUse.Load() < int64(24*time.Hour/time.Second) {
		return
	}
	m.storedUse.Store(now.Unix())
	r.mu.Lock()
	r.uses[m.policy.Domain] = now
	r.mu.Unlock()
	r.consider(m.policy, now)
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

// saveUses writes the uses that were noted. What fails is noted again by the next
// use.
func (r *refresher) saveUses() {
	r.mu.Lock()
	uses := r.uses
	r.uses = make(map[string]time.Time)
	r.mu.Unlock()
	c := r.client
	for domain, used := range uses {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), storeLimit)
		if value, ok, err := c.store.Get(ctx, domain); err == nil && ok {
			if p, stored, err := decodeEntry(domain, value); err == nil && used.After(stored) {
				c.store.Put(ctx, domain, encodeEntry(p, used), p.stamp, p.Expires)
			}
		}
		cancel()
	}
}

// policyHostKey tells policy hosts apart by where they are: by an address, or where
// none can be found by name.
func (c *Client) policyHostKey(ctx context.Context, domain string) string {
	host := sts.PolicyLabel + domain
	r, ok := c.resolver.(interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	})
	if !ok {
		return host
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	addrs, err := r.LookupNetIP(ctx, "ip", host+".")
	if err != nil || len(addrs) == 0 {
		return host
	}
	return addrs[0].String()
}
