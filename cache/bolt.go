package cache

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Bolt is a store in a bbolt file. It belongs to one process at a time, is made by
// [OpenBolt], and must be closed. It drops nothing: whoever uses it removes what has expired.
//
// Damage is an error of the call that meets it; the package documentation says when it may
// hide an entry. Writing a damaged entry anew repairs it. All methods may be called
// concurrently. Errors name the file and, where something can be done, what.
type Bolt struct {
	path   string
	db     *bolt.DB
	turn   chan struct{} // of capacity 1: full while somebody writes
	wrote  bool          // anything; belongs to who has the turn
	closed atomic.Bool
	// bbolt has panicked, and some of its locks may stay locked. Nobody may wait for them.
	unwritable, unreadable atomic.Bool
}

// Get returns a copy of the value under key, expired or not. It fails if ctx has ended,
// if the entry or what is beside it is damaged, or if the store is closed.
func (b *Bolt) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := cmp.Or(ctx.Err(), checkKey(key)); err != nil {
		return nil, false, err
	}
	err = b.view(func(tx *bolt.Tx) error {
		k := []byte(key)
		raw, err := find(entriesOf(tx).Cursor(), k)
		if err != nil || raw == nil {
			return err
		}
		rec, err := decode(k, raw)
		value, ok = bytes.Clone(rec.value), err == nil
		return err
	})
	return value, ok, b.wrap(err)
}

// Write makes all changes, in their order and in one transaction, and returns when they
// are on the disk. A held value with a later fetched time that has not expired stays, and
// that is no error. Write heeds ctx until its turn has come.
//
// It fails if a [Change] is out of bounds or would hide damage, if the disk does not take
// the transaction, or if the store is closed or damaged. It has changed nothing then, unless
// the disk has failed at the very end.
func (b *Bolt) Write(ctx context.Context, changes []Change) error {
	if err := cmp.Or(ctx.Err(), checkChanges(changes)); err != nil {
		return err
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turn }()
	b.wrote = true
	return b.wrap(b.update(func(tx *bolt.Tx) error {
		entries, now := entriesOf(tx), time.Now()
		cursor := entries.Cursor()
		for i := range changes {
			if err := apply(entries, cursor, &changes[i], now); err != nil {
				return fmt.Errorf("writing %q: %w", changes[i].Key, err)
			}
		}
		return nil
	}))
}

func apply(entries *bolt.Bucket, cursor *bolt.Cursor, c *Change, now time.Time) error {
	key, change := []byte(c.Key), c.record()
	raw, err := find(cursor, key)
	if err != nil {
		return err
	}
	// A damaged record has no time to compare with. It is replaced or removed.
	held, err := decode(key, raw)
	switch {
	case err == nil && held.outranks(change, now):
		return nil
	case c.Value != nil:
		return entries.Put(key, change.encode(key))
	case raw != nil:
		return entries.Delete(key)
	}
	return nil
}

// Scan returns copies of at most limit entries with keys greater than after, in byte
// order of the keys. Fewer than limit entries mean that there are no more.
//
// Entries that cannot be read are left out. Scan returns the others, together with an
// error that says what was wrong first. An error without entries means that nothing
// behind after can be read, that ctx has ended, or that the store is closed.
func (b *Bolt) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	room := min(max(limit, 0), 1000)
	keys, values = make([]string, 0, room), make([][]byte, 0, room)
	var damaged error
	err = b.view(func(tx *bolt.Tx) error {
		cursor, last := entriesOf(tx).Cursor(), max(after, lowKey)
		move, next := func() (key, raw []byte) { return cursor.Seek([]byte(last)) }, cursor.Next
		for len(keys) < limit && last < highKey {
			if err := ctx.Err(); err != nil {
				return err
			}
			key, value, err := b.step(move)
			move = next
			switch {
			case err == nil && key == nil:
				err, last = damage("the end of the entries is missing"), highKey
			case err == nil && string(key) < last:
				err = damagef("%+.80q is out of order", key)
			case err == nil && string(key) > last:
				if last = string(key); last < highKey {
					keys, values = append(keys, last), append(values, bytes.Clone(value))
				}
			}
			if damaged == nil {
				damaged = err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, b.wrap(err)
	}
	return keys, values, b.wrap(damaged)
}

// Backup writes a copy of the store as it is now to w, while the store is in use. The
// copy is a file that OpenBolt opens.
//
// A slow w delays nobody, but the file of the store grows with each Write meanwhile.
func (b *Bolt) Backup(w io.Writer) error {
	return b.wrap(b.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	}))
}

// Close waits for the calls under way and closes the file. Later calls of the other methods
// fail with an error that wraps [io/fs.ErrClosed], and later calls of Close do nothing.
// After a panic of bbolt, it does not wait, and leaves the file locked.
func (b *Bolt) Close() error {
	if b.unreadable.Load() {
		return nil
	}
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.wrote {
		// Two pages at the beginning of the file stand for the last two transactions. If one is
		// damaged, bbolt goes by the other. Now both have the same entries.
		_ = b.update(func(*bolt.Tx) error { return nil })
	}
	if b.closed.Swap(true) || b.unwritable.Load() {
		return nil
	}
	return b.wrap(b.db.Close())
}
