package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A write waits in the queue of a Bolt to be part of a transaction.
type write struct {
	key     []byte
	record  []byte // nil: remove the key
	fetched time.Time

	done chan struct{} // closed when the transaction has ended
	err  error         // what came of it, then
}

// write has w committed. Writers share transactions, and so the two syncs of the
// disk that each costs: while one commits, all others queue up, and the first to
// get its turn then commits for all of them. A lone writer waits for nobody.
//
// This is not bbolt's own Batch because that makes a lone writer wait for
// company, and because it commits on a goroutine of its own, where a panic is
// out of reach and ends the process.
func (b *Bolt) write(ctx context.Context, w *write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.life.RLock()
	defer b.life.RUnlock()
	if err := b.usable(); err != nil {
		return err
	}

	w.done = make(chan struct{})
	b.queueMu.Lock()
	b.queue = append(b.queue, w)
	b.queueMu.Unlock()

	select {
	case <-w.done:
	case b.turn <- struct{}{}:
		b.commitQueue()
		<-w.done // by this commit or by one just before it
	case <-ctx.Done():
		if b.withdraw(w) {
			return ctx.Err()
		}
		return fmt.Errorf("cache: the write was under way and may be stored: %w", ctx.Err())
	}
	return w.err
}

// withdraw takes w out of the queue. It reports false if w is no longer there.
func (b *Bolt) withdraw(w *write) bool {
	b.queueMu.Lock()
	defer b.queueMu.Unlock()
	i := slices.Index(b.queue, w)
	if i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	}
	return i >= 0
}

// errUnchanged makes bbolt drop a transaction that would write nothing.
var errUnchanged = errors.New("nothing to write")

// commitQueue commits all writes that are in the queue, in one transaction, and
// gives up its turn. A write that cannot be applied fails alone; if the
// transaction fails, all fail.
func (b *Bolt) commitQueue() {
	defer func() { <-b.turn }()
	b.queueMu.Lock()
	batch := b.queue
	b.queue = nil
	b.queueMu.Unlock()
	if len(batch) == 0 {
		return
	}

	err := b.update(func(tx *bolt.Tx, t tree, entries node) error {
		bucket := tx.Bucket([]byte(entriesBucket))
		unchanged := true
		for _, w := range batch {
			var changed bool
			if changed, w.err = w.apply(bucket, t, entries); changed {
				unchanged = false
			}
		}
		if unchanged {
			return errUnchanged
		}
		return b.sweep(bucket, t, entries, len(batch), time.Now())
	})
	for _, w := range batch {
		if err != nil && err != errUnchanged {
			w.err = err
		}
		close(w.done)
	}
}

// apply makes w part of the transaction of bucket, of which t and entries are
// the state before. It reports whether there was anything to change.
func (w *write) apply(bucket *bolt.Bucket, t tree, entries node) (changed bool, err error) {
	// bbolt is about to walk the same pages, and believes what it reads.
	why := toPut
	if w.record == nil {
		why = toRemove
	}
	if _, err := t.find(entries, w.key, why); err != nil {
		return false, err
	}
	held := bucket.Get(w.key)
	if why == toRemove {
		return held != nil, bucket.Delete(w.key)
	}
	// A held record that is damaged has no time to compare with.
	r, err := decodeRecord(w.key, held)
	if err == nil && r.fetched.After(w.fetched) || bytes.Equal(held, w.record) {
		return false, nil
	}
	return true, bucket.Put(w.key, w.record)
}
