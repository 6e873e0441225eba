package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A write waits in the queue of a Bolt to be stored.
type write struct {
	key    []byte
	record record // to remove the key, only fetched
	remove bool
	shared int // where the part of the value begins that others may have too

	done chan struct{} // closed when that has ended
	err  error         // what came of it, then
}

// write has w stored. Writers share what it costs to wait for the disk: while one
// waits, all others queue up, and the first to get its turn then stores for all of
// them. A lone writer waits for nobody.
//
// This is not bbolt's own Batch because that makes a lone writer wait for
// company, and because it commits on a goroutine of its own, where a panic is
// out of reach and ends the process.
func (b *Bolt) write(ctx context.Context, w *write) error {
	w.done = make(chan struct{})
	b.queueMu.Lock()
	b.queue = append(b.queue, w)
	b.queueMu.Unlock()

	select {
	case <-w.done:
	case b.turn <- struct{}{}:
		// Those whose writes have just been stored may have more: let them come
		// along. If there are none, this takes no time.
		runtime.Gosched()
		b.storeQueue()
		<-b.turn
		<-w.done // by this or by one just before it
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

// storeQueue stores all writes that are in the queue. A write that cannot be applied
// fails alone; if the disk does not take them, all fail. The caller has the turn.
func (b *Bolt) storeQueue() {
	b.queueMu.Lock()
	batch := b.queue
	b.queue = nil
	b.queueMu.Unlock()
	if len(batch) == 0 {
		return
	}
	err := b.store(batch)
	for _, w := range batch {
		if err != nil {
			w.err = err
		}
		close(w.done)
	}
}

// commit makes batch part of the entries of the file, in one transaction.
func (b *Bolt) commit(batch []*write) error {
	r := b.beginBatch(len(batch))
	err := b.update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte(entriesBucket))
		unchanged := true
		for _, w := range batch {
			r.reset(b.state)
			var changed bool
			if changed, w.err = b.apply(bucket, r, w); changed {
				unchanged = false
			}
		}
		if unchanged && !b.shared.more && !b.unsynced {
			return errUnchanged
		}
		b.due += entriesPerWrite * len(batch)
		return b.sweep(bucket, r, time.Now())
	})
	b.shared.settle(err)
	if err == nil {
		b.settle(batch)
	}
	return err
}

// beginBatch returns the reader of whoever has the turn, for n writes. Nothing is held
// for longer than they take: it may be damaged in the file by then, and bbolt would read
// that.
func (b *Bolt) beginBatch(n int) *reader {
	b.reader.branches = nil
	if n > 1 {
		b.reader.branches = new(branches)
	}
	return &b.reader
}

// apply makes w part of the transaction of bucket. It reports whether there was
// anything to change.
func (b *Bolt) apply(bucket *bolt.Bucket, r *reader, w *write) (changed bool, err error) {
	// bbolt is about to walk the same pages, and believes what it reads.
	why := toPut
	if w.remove {
		why = toRemove
	}
	if _, err := r.find(b.state.entries, w.key, why); err != nil {
		return false, err
	}
	held := bucket.Get(w.key)
	// A held record that is damaged has no time to compare with.
	if rec, err := decodeRecord(w.key, held); err == nil && rec.outranks(w.record) {
		return false, nil
	}
	if w.remove {
		return held != nil, bucket.Delete(w.key)
	}
	record := b.share(bucket, r, w).encode(w.key)
	if bytes.Equal(held, record) {
		return false, nil
	}
	return true, bucket.Put(w.key, record)
}

// update runs fn in a transaction of bbolt, commits that unless fn fails, and
// makes what it has written the state to be read. The caller has the turn.
func (b *Bolt) update(fn func(tx *bolt.Tx) error) error {
	if err := b.writable(); err != nil {
		return err
	}
	err := b.contain(func() error { return b.db.Update(fn) })
	if err == errUnchanged {
		return nil
	}
	b.unsynced = err != nil
	if err != nil && b.broken == nil {
		err = fmt.Errorf("the file cannot be written: %w", withoutPath(err))
	}
	// Also after an error: bbolt goes on from what is in the file now.
	s, stateErr := b.currentState()
	if stateErr != nil {
		b.broken = stateErr
		return errors.Join(err, stateErr)
	}
	b.mu.Lock()
	b.state = s
	b.mu.Unlock()
	return err
}

// writable reports why nothing can be written, as far as that shows beforehand.
func (b *Bolt) writable() error {
	switch {
	case b.closed:
		return errClosed
	case b.broken != nil:
		return b.broken
	}
	m, err := b.reader.readMeta()
	// bbolt keeps the list of free pages in memory. Should someone have copied
	// another file over this one, it would write into the midst of that.
	if err == nil && m != b.state.meta {
		err = damage("another program has written to it while it was open")
	}
	return err
}

// currentState reads the state that the file is in, on behalf of whoever has the turn.
func (b *Bolt) currentState() (*state, error) {
	m, err := b.reader.readMeta()
	if err != nil || m == b.state.meta {
		return b.state, err // nothing was written, and what is held of it stays what it was
	}
	s, top, err := b.reader.begin(m)
	if err == nil {
		err = b.reader.findEntries(s, top)
	}
	return s, err
}

// contain runs a transaction and turns a panic of bbolt, or a fault in its
// mapping of the file, into an error. After that, bbolt may still hold locks of
// its own and is not used any more. Reading goes on.
func (b *Bolt) contain(transact func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			b.broken = caught(p)
			err = b.broken
		}
	}()
	return transact()
}

func caught(p any) error {
	return damagef("bbolt: %s", strconv.QuoteToASCII(fmt.Sprint(p)))
}
