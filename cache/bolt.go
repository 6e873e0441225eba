package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Bolt is a Store in a file, written through to the disk. It belongs to one process
// at a time, is made by [OpenBolt], and must be closed.
//
// While it is open, and after a crash, what was stored last is in a second file, a
// log: it is beside the first, with "-wal" behind its name, and is moved, copied and
// restored with it. Close leaves the one file. Where no second file can be made, the
// store does without, and stores more slowly.
//
// What Put has stored when it returns nil outlives a crash of the process and,
// if the disk keeps its word, of the machine. Nothing is lost but entries that
// have expired, which the store drops by itself, a few with each write.
//
// Nothing that the file may contain makes a method panic. A damaged entry, or an
// entry that damage makes unreachable, is an error of the call that needs it; it
// is never another value, and never taken for one that is not there. Writing
// such an entry anew, where it can be reached, repairs it. If damage shows only
// in the middle of a transaction, the store can be read but no longer written, and
// is not opened anew before the process has ended.
//
// All methods may be called concurrently. Their errors name the file and, where
// something can be done, what.
type Bolt struct {
	path    string
	file    *os.File // the one that db has open; all reading goes past db
	readers sync.Pool
	held    branches // of the state

	// Writing. Whoever has put a value into turn commits, and is the only one
	// to use db and what is below it.
	queueMu sync.Mutex
	queue   []*write
	turn    chan struct{} // of capacity 1
	db      *bolt.DB
	broken  error // set once db must not be used any more

	// unsynced is set while the file may have what the disk does not: a transaction
	// has failed, perhaps when it was written already, and none has succeeded since.
	unsynced bool
	reader   reader
	swept    []byte // the key at which the next sweep begins
	due      int    // entries that the next sweep may look at

	shared sharedEnds
	wal    *wal

	// mu is held for reading while pages of the state are read. It guards also
	// pending and closed, which as well as the state change only in a turn.
	mu      sync.RWMutex
	state   *state
	pending map[string]*write // what is in the log and not in the state
	closed  bool
}

// Get returns a copy of the value under key, expired or not. It fails if ctx has
// ended, if the entry is damaged, or if the store is closed.
func (b *Bolt) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := errors.Join(ctx.Err(), checkKey(key)); err != nil {
		return nil, false, err
	}
	err = b.view(func(r *reader, entries node) error {
		if w := b.pending[key]; w != nil {
			value, ok = bytes.Clone(w.record.value), true
			return nil
		}
		p, err := r.find(entries, []byte(key), toRead)
		if err != nil || !p.found {
			return err
		}
		rec, err := p.leaf.record(p.index)
		if err == nil {
			value, err = b.shared.value(r, entries, []byte(key), rec)
		}
		ok = err == nil
		return err
	})
	return value, ok, b.wrap(err)
}

// Put stores value under key and returns when it is on the disk, unless the
// value there has a later fetched time. Concurrent calls share one write to the
// disk.
//
// It fails if key or value is beyond the bounds of a store (1 to 253 octets of a
// domain name in lower case, and 70 KiB), if the disk does not take it, or if
// the store is closed or damaged; then the entry is as it was, as far as the
// disk can tell. If ctx ends while the call waits for its turn, it stores
// nothing and returns ctx.Err; if ctx ends while another call is writing to the
// disk for this one too, it returns an error that wraps ctx.Err, and the value
// may be stored. A call that writes to the disk itself does so to the end.
func (b *Bolt) Put(ctx context.Context, key string, value []byte, fetched, expires time.Time) error {
	return b.PutShared(ctx, key, value, len(value), fetched, expires)
}

// Delete removes key, unless the value there has a later fetched time and has not expired, with the
// same promise and the same errors as Put. A damaged entry has no time to compare
// with, and is removed.
func (b *Bolt) Delete(ctx context.Context, key string, fetched time.Time) error {
	if err := errors.Join(ctx.Err(), checkKey(key)); err != nil {
		return err
	}
	return b.wrap(b.write(ctx, &write{key: []byte(key), remove: true, record: record{fetched: fetched}}))
}

// Close waits for the calls under way, makes what is in the log part of the file, and
// closes it. If the file does not take all of that, the log is left, and Close fails:
// nothing is lost, and the next OpenBolt finds it. Later calls of the other methods fail
// with an error that wraps [io/fs.ErrClosed]; later calls of Close do nothing.
func (b *Bolt) Close() error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.closed {
		return nil
	}
	err := b.closeLog()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.broken != nil {
		// db.Close would wait for a lock that nobody releases. The file stays
		// mapped, and so locked for others, until the process ends.
		return b.wrap(errors.Join(err, b.file.Close()))
	}
	return b.wrap(errors.Join(err, b.db.Close()))
}

// view runs fn on the entries as they are now.
//
// Pages of the state may be read while the next transaction is under way,
// because bbolt writes only to pages that are not part of the state. When that
// transaction has become the state, under mu, nobody reads the old one any more,
// and the transaction after it may reuse the pages that only the old one has.
func (b *Bolt) view(fn func(r *reader, entries node) error) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return errClosed
	}
	r, _ := b.readers.Get().(*reader)
	if r == nil {
		r = &reader{file: b.file, branches: &b.held}
	}
	defer b.readers.Put(r)
	r.reset(b.state)
	return fn(r, b.state.entries)
}

var errClosed = fmt.Errorf("the store is closed: %w", fs.ErrClosed)

func (b *Bolt) wrap(err error) error { return storeError(b.path, err) }

// storeError says which file err is about and, if it is damaged, what to do.
func storeError(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, new(damage)):
		return fmt.Errorf("cache: %q: %w; restore it from a backup, or stop the program and move it away to begin with an empty store", path, err)
	default:
		return fmt.Errorf("cache: %q: %w", path, err)
	}
}
