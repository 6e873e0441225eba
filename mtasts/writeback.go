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

	// After maxFailedWrites failures in a row a flush ends: the store is at fault, and not
	// single policies. It takes ten to single one out of maxBatch.
	maxFailedWrites = 30

	// In Close, a flush also ends after failures for maxFailingTime.
	maxFailingTime = storeLimit / 2

	// minWriteRetry and maxWriteRetry bound the time between two flushes that fail.
	minWriteRetry = time.Second
	maxWriteRetry = time.Minute

	// storeLimit ends a read or write of a store that hangs.
	storeLimit = 10 * time.Second
)

// A writer has one goroutine that writes changed policies to the store. No caller waits for it.
// A policy that is not written yet is dirty. Memory may evict it meanwhile, so load asks the
// writer before the store.
type writer struct {
	client *Client
	kick   chan struct{} // of capacity 1: something is dirty

	mu      sync.Mutex
	dirty   map[string]*dirtyPolicy
	cost    int  // of dirty, in KiB
	dropped int  // policies that were dropped because of maxDirty, and not noted again
	failing bool // a write has failed, and not everything has been written since
}

func newWriter(c *Client) *writer {
	return &writer{client: c, kick: make(chan struct{}, 1), dirty: make(map[string]*dirtyPolicy)}
}

// run writes until ctx ends. A policy that the store refuses is tried again after a wait, and
// others are written meanwhile. If the store is at fault, all wait.
func (w *writer) run(ctx context.Context) {
	refused := make(map[*dirtyPolicy]bool)
	kick, wait := w.kick, minWriteRetry
	var retry <-chan time.Time
	for {
		select {
		case <-kick:
		case <-retry:
			clear(refused)
			kick, retry = w.kick, nil
		case <-ctx.Done():
			return
		}
		storeFails, err := w.flush(refused)
		if storeFails {
			kick = nil
		}
		if err == nil && len(refused) == 0 {
			wait = minWriteRetry
		} else if retry == nil {
			retry = time.After(wait)
			wait = min(2*wait, maxWriteRetry)
		}
	}
}

// flush writes all that is dirty, but for what is in refused. If a batch fails, flush tries
// smaller ones, and adds the policies that fail alone to refused. The error is the first one
// of a policy that was not written.
func (w *writer) flush(refused map[*dirtyPolicy]bool) (storeFails bool, first error) {
	for size, failures, success := maxBatch, 0, time.Now(); ; {
		batch := w.take(size, refused)
		if len(batch) == 0 {
			break
		}
		hangs, err := w.write(batch)
		if err == nil {
			failures, success = 0, time.Now()
			size = min(2*size, maxBatch)
			continue
		}
		failures++
		size = max(len(batch)/2, 1)
		late := w.client.ctx.Err() != nil && time.Since(success) >= maxFailingTime
		if hangs || late || failures == maxFailedWrites {
			w.failed(batch[0].policy, err)
			return true, err
		}
		if len(batch) == 1 {
			w.failed(batch[0].policy, err)
			refused[batch[0]] = true
			if first == nil {
				first = err
			}
		}
	}
	if len(refused) == 0 {
		w.recovered()
	}
	return false, first
}

// write writes the policies of batch that the quota admits. hangs means that the write failed
// because it took longer than storeLimit.
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

// failed reports that p could not be written, unless an earlier failure was reported and not
// everything has been written since.
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

// recovered reports that everything is written, if a failure was reported before.
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

// close tries once more to write what is dirty. The error says how many policies are lost.
func (w *writer) close() error {
	_, err := w.flush(make(map[*dirtyPolicy]bool))
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
