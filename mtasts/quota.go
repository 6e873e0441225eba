package mtasts

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

const (
	// defaultQuota holds two million policies of ordinary size.
	defaultQuota = 1 << 30

	// Between two walks of Run the store takes policies that enforce up to this many
	// percent of the quota, and others up to 100.
	enforceQuota = 125

	// Each walk that finds more than the quota evicts down to this many percent of it.
	lowQuota = 90
)

// A quota bounds the store while Run runs: only its walks know how much the store holds.
type quota struct {
	client *Client
	most   int64        // octets
	known  atomic.Bool  // a walk has come to its end
	stored atomic.Int64 // octets: by the last walk, and what was written since
}

var errFull = errors.New("the store is full; raise Options.Quota")

// admits reports whether the store has room for d. What takes the place of a stored policy
// always has: the older one must not come back.
func (q *quota) admits(d *dirtyPolicy) bool {
	p := d.policy
	limit := q.most
	if p.Mode == ModeEnforce {
		limit = limit / 100 * enforceQuota
	}
	if !q.known.Load() || q.stored.Load() <= limit || q.client.ctx.Err() != nil {
		return true // and Close rather passes the quota than loses something
	}
	ctx, cancel := context.WithTimeout(q.client.ctx, storeLimit)
	defer cancel()
	if _, there, err := q.client.store.Get(ctx, p.Domain); there || err != nil {
		return true
	}
	q.client.setUnstored(p, refused)
	q.client.emitError(EventStore, p, &Error{Domain: p.Domain, Reason: ReasonStoreFull, Temporary: true, Err: errFull})
	return false
}

// The ranks in which entries go when the store is full: policies that protect
// nothing, then those that only report, then those that enforce, by the days since
// somebody asked about their domain. One that enforces and was in use within a day
// stays: to evict it would be what an attacker wants.
const (
	rankNone    = 0
	rankTesting = 1
	rankIdle    = 2 // idle for 30 days and more, then 29, ... at last 1
	idleDays    = 30
	ranks       = rankIdle + idleDays + 1
	rankKept    = ranks - 1
)

func rank(p *Policy, used, now time.Time) int {
	switch p.Mode {
	case ModeNone:
		return rankNone
	case ModeTesting:
		return rankTesting
	}
	// The store has a use once a day, so the last one may be a day later.
	days := int(now.Sub(used)/(24*time.Hour)) - 1
	return rankKept - min(max(days, 0), idleDays)
}

// A tally is what a walk has found in the store, in octets.
type tally struct {
	total  int64
	byRank [ranks]int64
}

func (t *tally) add(rank, size int) {
	t.total += int64(size)
	t.byRank[rank] += int64(size)
}

// enforce evicts entries until the store is below its quota, those of the lowest rank
// first. t is what the walk has found, which came to its end at the time now.
func (q *quota) enforce(ctx context.Context, t tally, now time.Time) {
	q.stored.Store(t.total)
	q.known.Store(true)
	if t.total <= q.most {
		return
	}
	excess := t.total - q.most/100*lowQuota
	last := 0 // the rank in which the excess ends
	for sum := int64(0); last < rankKept; last++ {
		if sum += t.byRank[last]; sum >= excess {
			break
		}
	}
	c := q.client
	var batch []cache.Change
	var evicted []*Policy
	flush := func() {
		ctx, cancel := context.WithTimeout(ctx, storeLimit)
		defer cancel()
		if c.store.Write(ctx, batch) == nil { // what fails is tried again on the next walk
			for _, p := range evicted {
				c.setUnstored(p, refused)
				c.stats.evictions.Add(1)
				c.emit(Event{Kind: EventEvicted, Domain: p.Domain, Policy: p, Reason: ReasonStoreFull})
			}
		}
		batch, evicted = nil, nil
	}
	c.walk(ctx, func(p *Policy, used time.Time, size int) bool {
		if k := rank(p, c.lastUse(p.Domain, used), now); k > last || k == rankKept {
			return true
		}
		excess -= int64(size)
		q.stored.Add(-int64(size))
		batch = append(batch, cache.Change{Key: p.Domain, Fetched: p.stamp})
		if evicted = append(evicted, p); len(batch) == maxBatch {
			flush()
		}
		return excess > 0
	})
	if flush(); q.stored.Load() > q.most && ctx.Err() == nil {
		c.log.Error("mtasts: the store is full of policies in use; new ones may be kept in memory only", "octets", q.stored.Load(), "quota", q.most)
	}
}
