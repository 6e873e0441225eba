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
// [OpenBolt], and must be closed.
//
// What Write has stored when it returns nil outlives a crash of the process and, if the
// disk keeps its word, of the machine. Nothing is dropped: whoever uses the store removes
// what has expired.
//
// Damage is an error of the call that meets it, and never another value; the package
// documentation says when it may hide an entry. Writing a damaged entry anew repairs it.
//
// All methods may be called concurrently. Errors name the file and, where something can
// be done, what.
type Bolt struct {
	path   string
	db     *bolt.DB
	turn   chan struct{} // of capacity 1: full while somebody writes
	wrote  bool          // anything; belongs to who has the turn
	closed atomic.Bool

	// After a panic of bbolt, some of its locks may stay locked. Nobody may wait for them.
	unwritable, unreadable atomic.Bool
}

// Get returns a copy of the value under key, expired or not. It fails if ctx has ended,
// if the entry or what is beside it is damaged, or if the store is closed.
func (b *Bolt) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := cmp.Or(ctx.Err(), checkKey(key)); err != nil {
		return nil, false, err
	}
	err = b.view(func(tx *bolt.Tx) error {
		entries, err := entriesOf(tx)
		if err != nil {
			return err
		}
		k := []byte(key)
		raw, err := find(entries.Cursor(), k)
		if err != nil || raw == nil {
			return err
		}
		rec, err := decode(k, raw)
		value, ok = bytes.Clone(rec.value), err == nil
		return err
	})
	return value, ok, storeError(b.path, err)
}

// Write makes all changes, in their order and in one transaction, and returns when they
// are on the disk. A held value with a later fetched time that has not expired stays, and
// that is no error.
//
// Write fails if a [Change] is out of bounds, if it would hide damage, if the disk does not
// take the transaction, or if the store is closed or damaged. It has changed nothing then,
// unless the disk has failed at the very end. While another Write is under way it waits,
// but not longer than ctx lasts. Once it writes, it goes on to the end.
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
	return storeError(b.path, b.update(func(tx *bolt.Tx) error { return apply(tx, changes) }))
}

// apply makes changes part of tx.
func apply(tx *bolt.Tx, changes []Change) error {
	entries, err := entriesOf(tx)
	if err != nil {
		return err
	}
	now, cursor := time.Now(), entries.Cursor()
	for i := range changes {
		c := &changes[i]
		key, change := []byte(c.Key), c.record()
		raw, err := find(cursor, key)
		if err != nil {
			return fmt.Errorf("writing %q: %w", c.Key, err)
		}
		// A damaged record has no time to compare with. It is replaced or removed.
		if held, err := decode(key, raw); err == nil && held.outranks(change, now) {
			continue
		}
		switch {
		case c.Value != nil:
			err = entries.Put(key, change.encode(key))
		case raw != nil:
			err = entries.Delete(key)
		}
		if err != nil {
			return fmt.Errorf("writing %q: %w", c.Key, err)
		}
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
	var damaged error
	err = b.view(func(tx *bolt.Tx) error {
		entries, err := entriesOf(tx)
		if err != nil {
			return err
		}
		cursor, last, astray := entries.Cursor(), max(after, lowKey), 0
		move := func() (key, raw []byte) { return cursor.Seek([]byte(last)) }
		for len(keys) < limit && last < highKey && astray < maxAstray {
			key, value, err := step(move)
			move = cursor.Next
			switch {
			case err != nil:
				astray++
			case key == nil:
				err, last = errNoEnd, highKey
			case string(key) < last:
				err = damagef("%+.80q is out of order", key)
				astray++
			case string(key) > last:
				if last = string(key); last < highKey {
					keys, values = append(keys, last), append(values, bytes.Clone(value))
				}
			}
			damaged = cmp.Or(damaged, err)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, storeError(b.path, err)
	}
	return keys, values, storeError(b.path, damaged)
}

// maxAstray bounds the steps of a Scan that lead to no entry. Damage can make the pages go
// in circles.
const maxAstray = 1 << 16

const errNoEnd damage = "the end of the entries is missing"

// Backup writes a copy of the store as it is now to w, while the store is in use. The
// copy is a file that OpenBolt opens.
//
// A slow w delays nobody, but until Backup returns the file of the store grows with each
// Write.
func (b *Bolt) Backup(w io.Writer) error {
	return storeError(b.path, b.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	}))
}

// Close waits for the calls under way and closes the file. Later calls of the other
// methods fail with an error that wraps [io/fs.ErrClosed]. Later calls of Close do
// nothing.
//
// After a panic inside bbolt, Close does not wait, and the file stays locked until the
// process ends.
func (b *Bolt) Close() error {
	if b.unreadable.Load() {
		return nil
	}
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.closed.Load() {
		return nil
	}
	if b.wrote {
		// Of two pages at the beginning, one has the last transaction and the other the one
		// before. bbolt goes by that if the first is damaged. Now both have the same entries.
		_ = b.update(func(*bolt.Tx) error { return nil })
	}
	b.closed.Store(true)
	if b.unwritable.Load() {
		return nil
	}
	return storeError(b.path, b.db.Close())
}
