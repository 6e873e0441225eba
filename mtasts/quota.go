package mtasts

import (
	"context"
	"time"
)

// defaultQuota holds two million policies of ordinary size.
const defaultQuota = 1 << 30

// A tally is what a walk has found in the store: octets by how readily they are
// given up.
type tally struct {
	total  int64
	byRank [ranks]int64
}

// The ranks in which entries go when the store is full: policies that protect
// nothing, then those that only report, then those that enforce, by the days since
// somebody asked about their domain. One that enforces and was in use within a day
// stays: to forget it would be what an attacker wants.
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
	days := int(now.Sub(used) / (24 * time.Hour))
	return rankKept - min(max(days, 0), idleDays)
}

func (t *tally) add(p *Policy, used, now time.Time, size int) {
	t.total += int64(size)
	t.byRank[rank(p, used, now)] += int64(size)
}

// noteStored counts an entry that has been written since the last walk. What it took
// the place of is counted too, until the next one.
func (r *refresher) noteStored(size int) {
	if r.stored.Add(int64(size)) <= r.client.quota {
		return
	}
	select {
	case r.crowded <- struct{}{}:
	default:
	}
}

// full reports whether the store has no room for p: nothing more could be given up, or
// p does not enforce and more comes in than is given up at the same time.
func (r *refresher) full(p *Policy) bool {
	if r == nil {
		return false
	}
	return r.stuck.Load() || p.Mode != ModeEnforce && r.stored.Load() > r.client.quota*11/10
}

// makeRoom gives up entries until the store is a tenth below its quota, those of the
// lowest rank first.
func (r *refresher) makeRoom(ctx context.Context, t tally) {
	r.stored.Store(t.total)
	r.stuck.Store(false)
	c := r.client
	if t.total <= c.quota {
		return
	}
	excess := t.total - c.quota*9/10
	last := 0 // the rank in which the excess ends
	for sum := int64(0); last < rankKept; last++ {
		if sum += t.byRank[last]; sum >= excess {
			break
		}
	}
	now := time.Now()
	r.each(ctx, func(key string, p *Policy, used time.Time, size int) bool {
		if k := rank(p, r.lastUse(key, used), now); k > last || k == rankKept {
			return true
		}
		if c.store.Delete(ctx, key, p.stamp) == nil {
			excess -= int64(size)
			r.stored.Add(-int64(size))
			c.emit(Event{Kind: EventEvicted, Domain: key, Policy: p, Reason: "store-full"})
		}
		return excess > 0
	})
	if r.stored.Load() > c.quota {
		r.stuck.Store(true)
		c.log.Error("mtasts: the store is full of policies in use; new ones are kept in memory only", "octets", r.stored.Load(), "quota", c.quota)
	}
}
