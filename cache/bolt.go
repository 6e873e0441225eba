package cache

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Bolt is a store in a bbolt file. [OpenBolt] opens it, for one process at a time. It must be
// closed. It keeps expired entries until its user removes them.
//
// A call that meets damage returns an error. The package documentation says when damage can
// hide an entry. Writing a damaged entry again repairs it. All methods may be called
// concurrently. An error names the file and, where something can be done, says what.
type Bolt struct {
	path   string
	db     *bolt.DB
	turn   chan struct{} // of capacity 1: full during a write
	wrote  bool          // since it was opened; guarded by turn
	closed atomic.Bool
	// A panic of bbolt may leave its locks locked. Then no call may wait for them.
	unwritable, unreadable atomic.Bool
}

// Get returns a copy of the value under key, expired or not. It fails if ctx has ended, if key
// is invalid, if the store is closed, or if the entry is damaged. If key is absent, it fails if
// an entry next to its place is damaged.
func (b *Bolt) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	c, ok, err := b.Entry(ctx, key)
	return c.Value, ok, err
}

// Entry is [Bolt.Get] with the times of the entry.
func (b *Bolt) Entry(ctx context.Context, key string) (c Change, ok bool, err error) {
	if err := cmp.Or(ctx.Err(), checkKey(key)); err != nil {
		return Change{}, false, err
	}
	err = b.view(func(tx *bolt.Tx) error {
		k := []byte(key)
		raw, err := find(entriesOf(tx).Cursor(), k)
		if err != nil || raw == nil {
			return err
		}
		rec, err := decode(k, raw)
		c, ok = rec.change(key), err == nil
		return err
	})
	return c, ok, b.wrap(err)
}

// Write makes all changes in order, in one transaction, and returns when they are on the
// disk. A value with a later Fetched that has not expired stays, and this is no error. ctx
// can end the wait for another Write, but no write that has begun.
//
// Write fails if a [Change] is invalid or next to a damaged entry, if the file cannot be
// written, or if the store is closed or damaged. Then it has changed nothing, unless the disk
// failed in the last step of the transaction.
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
	// A damaged record has no time to compare. It is replaced or removed.
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
// Scan leaves out entries that it cannot read. It then returns an error about the first of
// them together with the others. An error without entries means that nothing after that key
// can be read, that ctx has ended, or that the store is closed.
func (b *Bolt) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	entries, err := b.Entries(ctx, after, limit)
	if entries == nil {
		return nil, nil, err
	}
	keys, values = make([]string, len(entries)), make([][]byte, len(entries))
	for i := range entries {
		keys[i], values[i] = entries[i].Key, entries[i].Value
	}
	return keys, values, err
}

// Entries is [Bolt.Scan] with the times of the entries.
func (b *Bolt) Entries(ctx context.Context, after string, limit int) (entries []Change, err error) {
	entries = make([]Change, 0, min(max(limit, 0), 1000))
	var damaged error
	err = b.view(func(tx *bolt.Tx) error {
		cursor, last := entriesOf(tx).Cursor(), max(after, lowKey)
		move := func() (key, raw []byte) { return cursor.Seek([]byte(last)) }
		for len(entries) < limit && last < highKey {
			if err := ctx.Err(); err != nil {
				return err
			}
			key, rec, err := b.step(move)
			move = cursor.Next
			switch {
			case err == nil && key == nil:
				err, last = damage("the end of the entries is missing"), highKey
			case err == nil && string(key) < last:
				err = damagef("%+.80q is out of order", key)
			case err == nil && string(key) > last:
				if last = string(key); last < highKey {
					entries = append(entries, rec.change(last))
				}
			}
			if damaged == nil {
				damaged = err
			}
		}
		return nil
	})
	if err != nil {
		return nil, b.wrap(err)
	}
	return entries, b.wrap(damaged)
}

// Backup writes a copy of the store as it is now to w, while the store is in use. OpenBolt
// opens the copy. An error of w is returned.
//
// A slow w delays no other call, but each Write meanwhile makes the file grow.
func (b *Bolt) Backup(w io.Writer) error {
	return b.wrap(b.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	}))
}

// Close waits for the calls under way and closes the file. Later calls of other methods
// return an error that wraps [io/fs.ErrClosed]. Later calls of Close do nothing. After a
// panic of bbolt, Close returns, and the file stays locked until the process ends.
func (b *Bolt) Close() error {
	if b.unreadable.Load() {
		return nil
	}
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.wrote {
		// The file has two meta pages, for the last two transactions. If one is damaged, bbolt
		// uses the other, and loses a transaction. After this one both lead to the same entries.
		_ = b.update(func(*bolt.Tx) error { return nil })
	}
	if b.closed.Swap(true) || b.unwritable.Load() {
		return nil
	}
	return b.wrap(b.db.Close())
}
