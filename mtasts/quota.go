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

// A quota bounds the store while Run runs, whose walks count what the store holds.
type quota struct {
	client *Client
	most   int64        // octets
	known  atomic.Bool  // a walk has come to its end
	stored atomic.Int64 // octets: by the last walk, and what was written since
}

var errFull = errors.New("the store is full; raise Options.Quota")

// admits reports whether the store has room for p. What replaces a stored policy is always
// admitted: the older one must not come back.
func (q *quota) admits(p *Policy) bool {
	limit := q.most
	if p.Mode == ModeEnforce {
		limit = limit / 100 * enforceQuota
	}
	if !q.known.Load() || q.stored.Load() <= limit || q.client.ctx.Err() != nil {
		return true // Close rather exceeds the quota than loses something
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

// The ranks in which a full store evicts: policies that protect nothing, then those that only
// report, then those that enforce, by the days since their domain was asked about. One that
// enforces and was in use within a day stays: an attacker would want it evicted.
const (
	rankNone    = 0
	rankTesting = 1
	rankIdle    = 2 // idle for 30 days or more; then 29, ... and 1
	idleDays    = 30
	ranks       = rankIdle + idleDays + 1
	rankKept    = ranks - 1
)

func rank(mode Mode, used, now time.Time) int {
	switch mode {
	case ModeNone:
		return rankNone
	case ModeTesting:
		return rankTesting
	}
	// The store has one use a day, so the last one may be a day later.
	days := int(now.Sub(used)/(24*time.Hour)) - 1
	return rankKept - min(max(days, 0), idleDays)
}

// enforce evicts entries until the store is below its quota, those of the lowest rank first. A
// walk has just found stored octets.
func (q *quota) enforce(ctx context.Context, stored int64) {
	q.stored.Store(stored)
	q.known.Store(true)
	if stored <= q.most {
		return
	}
	c, now := q.client, time.Now()
	rankOf := func(e *storedEntry) int { return rank(e.head.Mode, c.lastUse(e.head.Domain, e.used), now) }

	low := q.most / 100 * lowQuota
	var byRank [ranks]int64 // octets
	c.walk(ctx, func(e *storedEntry) bool {
		byRank[rankOf(e)] += e.size()
		return true
	})
	highest := 0 // the rank that is evicted last
	for excess := stored - low - byRank[0]; excess > 0 && highest < rankKept-1; excess -= byRank[highest] {
		highest++
	}

	var (
		removals []cache.Change
		evicted  []*Policy
		octets   int64 // of evicted
	)
	flush := func() {
		if c.remove(ctx, removals) == nil { // what fails is tried again on the next walk
			q.stored.Add(-octets)
			for _, p := range evicted {
				c.setUnstored(p, refused)
				c.stats.evictions.Add(1)
				c.emit(Event{Kind: EventEvicted, Domain: p.Domain, Policy: p, Reason: ReasonStoreFull})
			}
		}
		removals, evicted, octets = nil, nil, 0
	}
	c.walk(ctx, func(e *storedEntry) bool {
		if rankOf(e) > highest {
			return true
		}
		p, err := c.parse(e)
		if err != nil {
			return true
		}
		stored -= e.size()
		octets += e.size()
		evicted = append(evicted, p)
		if removals = append(removals, e.removal()); len(removals) == maxBatch {
			flush()
		}
		return stored > low
	})
	flush()
	if stored > q.most && ctx.Err() == nil {
		c.log.Error("mtasts: the store is full of policies in use; new ones may be kept in memory only", "octets", stored, "quota", q.most)
	}
}
