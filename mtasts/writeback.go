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
	// maxBatch is how many policies are written in one transaction.
	maxBatch = 1000

	// maxDirty bounds, in KiB, what a process holds besides its cache while the store
	// cannot be written.
	maxDirty = 64 << 10

	// maxFailedWrites is how many writes may fail in a row before the writer waits.
	maxFailedWrites = 30

	// minWriteRetry and maxWriteRetry bound that wait.
	minWriteRetry = time.Second
	maxWriteRetry = time.Minute

	// storeLimit ends a read or write of a store that hangs.
	storeLimit = 10 * time.Second
)

// A writer brings what has changed into the store, by one goroutine. Nobody waits for it.
// What is not written yet is dirty. It is read from here, because memory may evict it.
type writer struct {
	client *Client
	kick   chan struct{} // of capacity 1: something is dirty

	mu      sync.Mutex
	dirty   map[string]*dirtyPolicy
	cost    int  // of dirty, in KiB
	dropped int  // policies that were dropped for maxDirty, and not noted again since
	failing bool // from a failed write until nothing is dirty
}

// A dirtyPolicy waits to be written.
type dirtyPolicy struct {
	policy   *Policy
	used     time.Time
	replaces bool // an entry that is stored
}

func newWriter(c *Client) *writer {
	return &writer{client: c, kick: make(chan struct{}, 1), dirty: make(map[string]*dirtyPolicy)}
}

// note has p written, which was last used at used. replaces means that the store has an entry
// of the domain. note reports false if there is no room for p.
func (w *writer) note(p *Policy, used time.Time, replaces bool) bool {
	noted := true
	for _, d := range w.add(&dirtyPolicy{policy: p, used: used, replaces: replaces}) {
		noted = noted && d.policy != p
		w.client.setUnstored(d.policy, dropped)
		w.client.emit(Event{Kind: EventEvicted, Domain: d.policy.Domain, Policy: d.policy, Reason: ReasonStoreUnwritable})
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
	return noted
}

// add makes d dirty. If there is no room for it, it drops policies, those that protect least
// first, and returns them.
func (w *writer) add(d *dirtyPolicy) (lost []*dirtyPolicy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.dirty[d.policy.Domain]; before != nil {
		w.remove(before)
		d.replaces = d.replaces || before.replaces
		if before.used.After(d.used) {
			d.used = before.used
		}
		if before.policy.stamp.After(d.policy.stamp) {
			d.policy = before.policy // d is a use of the older policy
		}
	}
	w.dirty[d.policy.Domain] = d
	w.cost += cost(d.policy)
	if w.cost <= maxDirty {
		return nil
	}
	for _, mode := range modes {
		for _, d := range w.dirty {
			if w.cost <= maxDirty*15/16 {
				return lost
			}
			if d.policy.Mode == mode {
				w.remove(d)
				w.dropped++
				lost = append(lost, d)
			}
		}
	}
	return lost
}

// remove makes d dirty no more, unless a newer one has taken its place. The lock is held.
func (w *writer) remove(d *dirtyPolicy) {
	if w.dirty[d.policy.Domain] == d {
		delete(w.dirty, d.policy.Domain)
		w.cost -= cost(d.policy)
	}
}

// get returns the dirty policy of a domain and its last use, or nil.
func (w *writer) get(domain string) (*Policy, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.dirty[domain]; d != nil {
		return d.policy, d.used
	}
	return nil, time.Time{}
}

// forget drops what is dirty of a domain. A write that is under way goes on.
func (w *writer) forget(domain string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.dirty[domain]; d != nil {
		w.remove(d)
	}
}

// unsaved returns how many policies are dirty.
func (w *writer) unsaved() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.dirty)
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	wait := minWriteRetry
	for {
		select {
		case <-w.kick:
		case <-ctx.Done():
			return
		}
		for w.flush() != nil {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			wait = min(2*wait, maxWriteRetry)
		}
		wait = minWriteRetry
	}
}

// flush writes all that is dirty. One policy that the store refuses holds up no other: a batch
// that fails is tried again in smaller ones. The error is the first of a policy that was not
// written.
func (w *writer) flush() (first error) {
	refusals := make(map[*dirtyPolicy]bool)
	for size, failures := maxBatch, 0; ; {
		batch := w.take(size, refusals)
		if len(batch) == 0 {
			break
		}
		hangs, err := w.write(batch)
		if err == nil {
			failures = 0
			size = min(2*size, maxBatch)
			continue
		}
		failures++
		size = max(len(batch)/2, 1)
		if hangs || failures == maxFailedWrites {
			w.failed(batch[0].policy, err)
			return err
		}
		if len(batch) == 1 {
			w.failed(batch[0].policy, err)
			refusals[batch[0]] = true
			if first == nil {
				first = err
			}
		}
	}
	if first == nil {
		w.recovered()
	}
	return first
}

// take returns up to size policies to write, but none of except.
func (w *writer) take(size int, except map[*dirtyPolicy]bool) (batch []*dirtyPolicy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.dirty {
		if len(batch) == size {
			break
		}
		if !except[d] {
			batch = append(batch, d)
		}
	}
	return batch
}

// write writes those of batch for which the store has room. It reports whether a write that
// failed took longer than it may.
func (w *writer) write(batch []*dirtyPolicy) (hangs bool, err error) {
	c := w.client
	var changes []cache.Change
	octets := 0
	for _, d := range batch {
		p := d.policy
		if !c.quota.admits(p) {
			w.settle(d)
			continue
		}
		// A policy with max_age 0 is written too, over the one that it ends.
		value := encodeEntry(p, d.used)
		changes = append(changes, cache.Change{Key: p.Domain, Value: value, Fetched: p.stamp, Expires: p.storedUntil()})
		if !d.replaces {
			octets += len(p.Domain) + len(value)
		}
	}
	// Close waits for this write, so it must not end because of Close.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), storeLimit)
	defer cancel()
	if len(changes) > 0 {
		err = c.store.Write(ctx, changes)
	}
	if err != nil {
		return ctx.Err() != nil, err
	}
	c.quota.stored.Add(int64(octets))
	w.settle(batch...)
	return false, nil
}

// settle makes what is written or refused dirty no more.
func (w *writer) settle(batch ...*dirtyPolicy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range batch {
		w.remove(d)
	}
}

// failed reports that p could not be written, if it is the first since all was.
func (w *writer) failed(p *Policy, err error) {
	w.client.stats.storeErrors.Add(1)
	w.mu.Lock()
	first := !w.failing
	w.failing = true
	w.mu.Unlock()
	if !first {
		return
	}
	failure := &Error{Domain: p.Domain, Reason: ReasonStoreUnwritable, Temporary: true, Err: fmt.Errorf("writing the store: %w", err)}
	w.client.emitError(EventStore, p, failure)
	w.client.log.Error("mtasts: policies cannot be stored and are kept in memory until they can", "domain", p.Domain, "error", failure)
}

// recovered reports that all is written, if a write has failed before.
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

// close tries once more to write what is dirty. The error says what is lost.
func (w *writer) close() error {
	err := w.flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	lost := len(w.dirty) + w.dropped
	switch {
	case lost == 0:
		return nil
	case err == nil:
		err = errors.New("there was no room to keep them until the store could be written")
	}
	return fmt.Errorf("policies that could not be stored: %d: %w", lost, err)
}

// Why a policy is neither stored nor dirty.
const (
	refused = 1 // the store was above its quota
	dropped = 2 // the store could not be written, and too much was dirty
)

// setUnstored notes that p is neither stored nor dirty.
func (c *Client) setUnstored(p *Policy, why uint32) {
	e := c.cached(p.Domain)
	if e == nil {
		return
	}
	if held := e.policy.Load(); held != nil && held.stamp.Equal(p.stamp) {
		e.unstored.Store(why)
	}
}

// endUnstored reports whether the policy of e is neither stored nor dirty. The caller then has
// it noted.
func (c *Client) endUnstored(e *cacheEntry) bool {
	why := e.unstored.Swap(0)
	if why == dropped {
		c.writer.mu.Lock()
		c.writer.dropped--
		c.writer.mu.Unlock()
	}
	return why != 0
}
