package tlsrpt

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

const (
	// minWalk and maxWalk bound the time between two walks through the store. The clock
	// may be set, so no wait is long.
	minWalk = time.Minute
	maxWalk = 15 * time.Minute

	// maxSending bounds the reports that are being sent. A receiver that is silent holds
	// up one for some minutes.
	maxSending = 64

	// grace is how long they have to come to an end when Run ends.
	grace = 5 * time.Second

	// scanBatch is how many entries are read from the store at a time.
	scanBatch = 100
)

// Run sends the reports about the days that are over, until ctx ends or the Collector is
// closed. Each is due at a random moment of the following day, and is tried for 24 hours;
// then it is dropped. Run is to run once per store. It returns the cause of the end of ctx.
func (c *Collector) Run(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return context.Cause(c.ctx)
	}
	c.work.Add(1) // Close waits, for the store is in use
	c.mu.Unlock()
	defer c.work.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	sending, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, end) })()

	var workers sync.WaitGroup
	defer workers.Wait()
	places, underWay := make(chan struct{}, maxSending), sync.Map{}
	send := func(base string) {
		if _, twice := underWay.LoadOrStore(base, true); twice {
			return
		}
		places <- struct{}{} // comes free within minutes
		workers.Go(func() {
			c.send(sending, base)
			underWay.Delete(base)
			<-places
		})
	}
	for {
		_ = c.flush() // which drops the days before from memory
		next := c.walk(ctx, send)
		select {
		case <-time.After(min(max(time.Until(next), minWalk), maxWalk)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// walk calls send for the reports that are due, removes what is too old, and returns when
// the next report is due.
func (c *Collector) walk(ctx context.Context, send func(base string)) (next time.Time) {
	now := time.Now()
	today := dayOf(now)
	next = now.Add(maxWalk)
	later := func(t time.Time) bool {
		if !t.After(now) || t.Sub(now) > 2*24*time.Hour { // the clock has been set back
			return false
		}
		if t.Before(next) {
			next = t
		}
		return true
	}
	for after := ""; ctx.Err() == nil; {
		batch, cancel := context.WithTimeout(ctx, storeLimit)
		keys, values, err := c.store.Scan(batch, after, scanBatch)
		cancel()
		if err != nil && ctx.Err() == nil {
			c.log.Error("tlsrpt: some of what was counted cannot be read", "error", err)
		}
		if len(keys) == 0 {
			break
		}
		for i, key := range keys {
			after = key
			day, base, ok := splitKey(key)
			switch {
			case !ok:
				if strings.HasPrefix(key, refusedPrefix) && !refuses(values[i]) {
					c.save(ctx, cache.Change{Key: key})
				}
				continue
			case day < today-keepDays || day > today+1:
				e, err := decode(key, values[i])
				if !c.save(ctx, cache.Change{Key: key}) || len(values[i]) == 0 {
					continue
				}
				if err != nil {
					c.log.Error("tlsrpt: what was counted cannot be read, and is lost", "error", err)
				} else {
					c.drop(e, "their day is long over, or far ahead")
				}
				continue
			}
			if day >= today {
				after = dayKey(today + 2) // before all keys of that day
				break
			}
			if later(dueAt(base, day)) { // and the rest of the day is due even later
				after = dayKey(day + 1)
				break
			}
			if key == base {
				if e, err := decode(key, values[i]); err != nil || later(e.Sending.Next) {
					continue // of an empty value there is an error
				}
			}
			send(base)
		}
	}
	return next
}
