package mtasts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

const (
	// maxBatch and maxBatchCost bound what is written in one transaction, in policies and
	// in KiB.
	maxBatch     = 1000
	maxBatchCost = 4 << 10

	// maxDirty bounds, in KiB, what a store that cannot be written makes a process hold
	// besides its cache.
	maxDirty = 64 << 10

	// maxSplits bounds the writes that are made to find out which policies of a batch
	// the store does not take.
	maxSplits = 64

	// minWriteRetry and maxWriteRetry bound the time between tries of a store that fails.
	minWriteRetry = time.Second
	maxWriteRetry = time.Minute

	// storeLimit ends a read or write of a store that hangs.
	storeLimit = 10 * time.Second
)

// A writer brings what has changed into the store, by one goroutine. Nobody waits for
// it. What is not written yet is dirty, and is read from here, because memory may evict
// it meanwhile.
type writer struct {
	client *Client
	kick   chan struct{} // of capacity 1: something is dirty

	mu      sync.Mutex
	dirty   map[string]*dirtyPolicy
	cost    int  // of dirty, in KiB
	dropped int  // policies that were dropped for maxDirty, and not written since
	failing bool // since a write has failed, until nothing is dirty
}

// A dirtyPolicy is to be written.
type dirtyPolicy struct {
	policy   *Policy
	used     time.Time
	replaces bool // what is stored of the domain, which must not come back
	alone    bool // the store does not take it, though it takes others
}

func newWriter(c *Client) *writer {
	return &writer{client: c, kick: make(chan struct{}, 1), dirty: make(map[string]*dirtyPolicy)}
}

// note has p written, which was last used at used. replaces means that the store has
// the domain, under an older policy or with an older use.
func (w *writer) note(p *Policy, used time.Time, replaces bool) {
	d := &dirtyPolicy{policy: p, used: used, replaces: replaces}
	w.mu.Lock()
	if before := w.dirty[p.Domain]; before != nil {
		d.replaces = d.replaces || before.replaces
		if before.used.After(d.used) {
			d.used = before.used
		}
		if before.policy.stamp.After(p.stamp) {
			d.policy = before.policy // p was in use until a moment ago
		}
		w.cost -= cost(before.policy)
	}
	w.dirty[p.Domain] = d
	w.cost += cost(d.policy)
	var given []*dirtyPolicy
	if w.cost > maxDirty {
		given = w.drop()
	}
	w.mu.Unlock()
	for _, d := range given {
		w.client.setUnstored(d.policy, dropped)
		w.client.emit(Event{Kind: EventEvicted, Domain: d.policy.Domain, Policy: d.policy, Reason: ReasonStoreUnwritable})
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// drop drops what protects least, until a part of maxDirty is free. The lock is held.
func (w *writer) drop() (given []*dirtyPolicy) {
	for _, expendable := range []func(*dirtyPolicy) bool{
		func(d *dirtyPolicy) bool { return d.policy.Mode == ModeNone && !d.replaces },
		func(d *dirtyPolicy) bool { return d.policy.Mode == ModeTesting && !d.replaces },
		func(d *dirtyPolicy) bool { return true },
	} {
		for domain, d := range w.dirty {
			if w.cost <= maxDirty*15/16 {
				return given
			}
			if expendable(d) {
				delete(w.dirty, domain)
				w.cost -= cost(d.policy)
				w.dropped++
				given = append(given, d)
			}
		}
	}
	return given
}

// get returns what is dirty of a domain, nil if nothing is.
func (w *writer) get(domain string) (*Policy, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.dirty[domain]; d != nil {
		return d.policy, d.used
	}
	return nil, time.Time{}
}

// take returns some of what is dirty. What the store does not take comes last.
func (w *writer) take() (batch []*dirtyPolicy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, alone := range []bool{false, true} {
		size := 0
		for _, d := range w.dirty {
			if len(batch) == maxBatch || size >= maxBatchCost {
				break
			}
			if d.alone == alone {
				batch = append(batch, d)
				size += cost(d.policy)
			}
		}
		if len(batch) > 0 {
			break
		}
	}
	return batch
}

// settle ends the work on batch: what has not changed meanwhile is dirty no more.
func (w *writer) settle(batch []*dirtyPolicy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range batch {
		if w.dirty[d.policy.Domain] == d {
			delete(w.dirty, d.policy.Domain)
			w.cost -= cost(d.policy)
		}
	}
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	for {
		select {
		case <-w.kick:
		case <-ctx.Done():
			return
		}
		for wait := minWriteRetry; ; wait = min(2*wait, maxWriteRetry) {
			err := w.flush(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
	}
}

// flush writes all that is dirty. An error means that some of it was not written.
func (w *writer) flush(ctx context.Context) error {
	for {
		batch := w.take()
		if len(batch) == 0 {
			w.recovered()
			return nil
		}
		splits := maxSplits
		failed, err := w.write(w.admit(batch), &splits)
		if err == nil {
			continue
		}
		w.failed(failed, err)
		if len(failed) >= len(batch) || failed[0].alone || ctx.Err() != nil {
			return err
		}
		w.mu.Lock()
		for _, d := range failed {
			d.alone = true
		}
		w.mu.Unlock()
	}
}

// admit is batch without those for which the store has no room.
func (w *writer) admit(batch []*dirtyPolicy) (admitted []*dirtyPolicy) {
	var refused []*dirtyPolicy
	for _, d := range batch {
		if w.client.quota.admits(d) {
			admitted = append(admitted, d)
		} else {
			refused = append(refused, d)
		}
	}
	w.settle(refused)
	return admitted
}

// write writes batch, and where the store does not take it as a whole, its halves, so that
// one policy which it does not take holds up no other. It returns those.
func (w *writer) write(batch []*dirtyPolicy, splits *int) (failed []*dirtyPolicy, err error) {
	// What Close waits for must not end because of Close.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.client.ctx), storeLimit)
	defer cancel()
	changes := make([]cache.Change, 0, len(batch))
	for _, d := range batch {
		changes = append(changes, change(d))
	}
	err = w.client.store.Write(ctx, changes)
	*splits--
	switch {
	case err == nil:
		for i, d := range batch {
			if !d.replaces {
				w.client.quota.stored.Add(int64(len(changes[i].Key) + len(changes[i].Value)))
			}
		}
		w.settle(batch)
		return nil, nil
	case len(batch) == 1, ctx.Err() != nil, *splits <= 0:
		return batch, err
	}
	half := len(batch) / 2
	first, err1 := w.write(batch[:half], splits)
	second, err2 := w.write(batch[half:], splits)
	if err1 == nil {
		err1 = err2
	}
	return append(first[:len(first):len(first)], second...), err1
}

// change is the stored form of d. A policy with max_age 0 is written too, over the one
// that it ends: it has expired when it is read.
func change(d *dirtyPolicy) cache.Change {
	p := d.policy
	return cache.Change{Key: p.Domain, Value: encodeEntry(p, d.used), Fetched: p.stamp, Expires: p.storedUntil()}
}

// failed reports the first failure since all was written.
func (w *writer) failed(batch []*dirtyPolicy, err error) {
	w.client.stats.storeErrors.Add(1)
	w.mu.Lock()
	first := !w.failing
	w.failing = true
	w.mu.Unlock()
	if !first {
		return
	}
	p := batch[0].policy
	failure := &Error{Domain: p.Domain, Reason: ReasonStoreUnwritable, Temporary: true, Err: fmt.Errorf("writing the store: %w", err)}
	w.client.emitError(EventStore, p, failure)
	w.client.log.Error("mtasts: policies cannot be stored and are kept in memory until they can", "domain", p.Domain, "error", failure)
}

// recovered ends what failed has begun, once nothing is dirty.
func (w *writer) recovered() {
	w.mu.Lock()
	recovered := w.failing
	w.failing = false
	w.mu.Unlock()
	if recovered {
		w.client.emit(Event{Kind: EventStore, Reason: ReasonStoreWritable})
		w.client.log.Info("mtasts: the store can be written again")
	}
}

// close tries once more what is dirty, and says what is lost.
func (w *writer) close() error {
	err := w.flush(context.Background())
	lost := len(w.dirty) + w.dropped
	switch {
	case lost == 0:
		return nil
	case err == nil:
		err = errors.New("there was no room to keep them until the store could be written")
	}
	return fmt.Errorf("policies that could not be stored: %d: %w", lost, err)
}

// forget drops what is dirty of a domain. What is being written meanwhile is written.
func (w *writer) forget(domain string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.dirty[domain]; d != nil {
		delete(w.dirty, domain)
		w.cost -= cost(d.policy)
	}
}

// unsaved is how many policies are dirty.
func (w *writer) unsaved() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.dirty)
}

// Why a policy is neither in the store nor to be written.
const (
	refused = 1 // the store was above its quota
	dropped = 2 // the store could not be written, and too much was dirty
)

// setUnstored notes that p is not in the store.
func (c *Client) setUnstored(p *Policy, why uint32) {
	if e := c.cached(p.Domain); e != nil && e.policy.Load().is(p) {
		e.unstored.Store(why)
	}
}

// storeAgain has p written, which was in use, if it is not in the store.
func (c *Client) storeAgain(e *cacheEntry, p *Policy) {
	why := e.unstored.Swap(0)
	if why == 0 {
		return
	}
	if why == dropped {
		c.writer.mu.Lock()
		c.writer.dropped--
		c.writer.mu.Unlock()
	}
	c.writer.note(p, e.lastUse.Load(), false)
}
