package mtasts

import (
	"context"
	"errors"
	"sync/atomic"
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
	// A use is noted once a day, so the last one may be a day later than what is noted.
	days := int(now.Sub(used)/(24*time.Hour)) - 1
	return rankKept - min(max(days, 0), idleDays)
}

func (t *tally) add(p *Policy, used, now time.Time, size int) {
	t.total += int64(size)
	t.byRank[rank(p, used, now)] += int64(size)
}

// Beyond the quota, while entries are being given up, the store still takes this many
// percent of it: of policies that do not enforce, and of those that do.
const (
	roomAny     = 110
	roomEnforce = 125
)

var (
	errFull    = errors.New("the store is full; raise Options.Quota")
	errCrowded = errors.New("the store is full until entries have been given up")
)

// room says why the store has no room for an entry of p: errFull if it is to do without,
// errCrowded if there may soon be some.
func (r *refresher) room(p *Policy) error {
	if r == nil || !r.known.Load() {
		return nil
	}
	percent := r.stored.Load() / max(1, r.client.quota/100)
	switch {
	case r.stuck.Load() || percent > roomAny && p.Mode != ModeEnforce:
		return errFull
	case percent > roomEnforce:
		return errCrowded
	}
	return nil
}

// noteStored counts an entry that has been written. What it took the place of is counted
// too, until the next walk.
func (r *refresher) noteStored(size int) {
	if r == nil || r.stored.Add(int64(size)) <= r.client.quota || r.stuck.Load() || !r.known.Load() {
		return
	}
	select {
	case r.crowded <- struct{}{}:
	default:
	}
}

// makeRoom gives up entries until the store is a tenth below its quota, those of the
// lowest rank first. If that cannot be, the store is stuck until the next walk.
func (r *refresher) makeRoom(ctx context.Context, t tally) {
	c := r.client
	if t.total <= c.quota {
		r.stuck.Store(false)
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
	deletes := newLanes()
	var freed atomic.Int64
	planned := int64(0)
	r.each(ctx, func(key string, p *Policy, used time.Time, size int) bool {
		if k := rank(p, r.lastUse(key, used), now); k > last || k == rankKept {
			return true
		}
		planned += int64(size)
		deletes.do(func() {
			if c.remove(ctx, p) == nil {
				freed.Add(int64(size))
				r.stored.Add(-int64(size))
				if e := c.cached(key); e != nil && e.policy.Load().is(p) {
					e.unsaved.Store(refused) // should somebody ask about it again
				}
				c.emit(Event{Kind: EventEvicted, Domain: key, Policy: p, Reason: ReasonStoreFull})
			}
		})
		return planned < excess
	})
	deletes.wait()
	stuck := t.total-freed.Load() > c.quota && ctx.Err() == nil
	if stuck && !r.stuck.Load() {
		c.log.Error("mtasts: the store is full of policies in use; new ones are kept in memory only", "octets", r.stored.Load(), "quota", c.quota)
	}
	r.stuck.Store(stuck)
	r.noteStored(0) // by what has come meanwhile: look again
}
