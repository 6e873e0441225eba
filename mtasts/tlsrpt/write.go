package tlsrpt

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

const (
	// writeInterval is for how long an outcome is in memory alone, and maxInterval if the
	// store fails.
	writeInterval = 5 * time.Second
	maxInterval   = time.Minute

	// storeLimit ends a read or write of a store that hangs.
	storeLimit = 10 * time.Second

	// maxBatch bounds the entries that are written in one transaction, and maxSplits how
	// often one that fails is split, to find the entry that the store does not take.
	maxBatch  = 200
	maxSplits = 16
)

// writeChanges writes what has changed until the collector is closed.
func (c *Collector) writeChanges() {
	for wait := writeInterval; ; {
		select {
		case <-c.kick:
		case <-c.ctx.Done():
			return
		}
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
			return
		}
		if c.flush() == nil {
			wait = writeInterval
		} else {
			wait = min(2*wait, maxInterval)
		}
	}
}

// flush writes what is dirty, and drops days that are over from memory. What cannot be
// written is dirty again, and the error says why.
func (c *Collector) flush() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	batch := c.dirty
	c.dirty = nil
	for _, e := range batch {
		e.dirty = false
	}
	c.mu.Unlock()
	splits := maxSplits
	err := c.write(batch, &splits)

	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil != c.storeWorks {
		if c.storeWorks = err == nil; c.storeWorks {
			c.log.Info("tlsrpt: what is counted can be stored again")
		} else {
			c.log.Error("tlsrpt: what is counted cannot be stored, and is kept in memory until it can", "error", err)
		}
	}
	today := dayOf(time.Now())
	if today != c.today {
		c.today, batch = today, slices.Collect(maps.Values(c.entries))
	}
	for _, e := range batch {
		// What comes later goes to another part. This one may be gone by then.
		if e.day != today && !e.dirty {
			delete(c.entries, dayDomain{e.day, e.Domain})
			c.stats.Keys -= e.keys
		}
	}
	return err
}

// write writes entries. One that the store does not take holds up no other.
func (c *Collector) write(batch []*entry, splits *int) error {
	if len(batch) == 0 {
		return nil
	}
	if len(batch) > maxBatch {
		return cmp.Or(c.write(batch[:maxBatch], splits), c.write(batch[maxBatch:], splits))
	}
	changes := make([]cache.Change, len(batch))
	for i, e := range batch {
		c.mu.Lock()
		changes[i] = e.change()
		c.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), storeLimit)
	defer cancel()
	err := c.store.Write(ctx, changes)
	if err == nil {
		return nil
	}
	if len(batch) > 1 && *splits > 0 && ctx.Err() == nil {
		*splits--
		half := len(batch) / 2
		return cmp.Or(c.write(batch[:half], splits), c.write(batch[half:], splits))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.StoreErrors++
	for _, e := range batch {
		if !e.dirty {
			c.markDirty(e)
		}
	}
	return err
}

// drop counts the outcomes of e as dropped.
func (c *Collector) drop(e *entry, why string) {
	n := e.sessions()
	c.tally(&c.stats.Dropped, n)
	c.log.Warn("tlsrpt: outcomes are dropped", "domain", e.Domain, "day", dayKey(e.day), "outcomes", n, "why", why)
}

// save writes changes about reports that are being sent, and reports whether it could.
func (c *Collector) save(ctx context.Context, changes ...cache.Change) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
	defer cancel()
	err := c.store.Write(ctx, changes)
	if err != nil {
		c.tally(&c.stats.StoreErrors, 1)
		c.log.Error("tlsrpt: the store cannot be written; what cannot be noted is not sent", "error", err)
	}
	return err == nil
}
