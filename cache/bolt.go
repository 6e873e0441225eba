package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Bolt is a Store in a single file, written through to the disk. It belongs to
// one process at a time, is made by [OpenBolt], and must be closed.
//
// What Put has stored when it returns nil outlives a crash of the process and,
// if the disk keeps its word, of the machine. Nothing is lost but entries that
// have expired, which the store drops by itself, a few with each write.
//
// Nothing that the file may contain makes a method panic. A damaged entry, or an
// entry that damage makes unreachable, is an error of the call that needs it and
// of no other; it is never another value, and never taken for one that is not
// there. Writing such an entry anew, where it can be reached, repairs it.
//
// All methods may be called concurrently. Their errors name the file and, where
// something can be done, what.
type Bolt struct {
	path     string
	db       *bolt.DB
	file     *os.File // the one that db has open
	pageSize int

	life   sync.RWMutex // held for reading by every operation, for writing by Close
	closed bool
	broken atomic.Pointer[error] // set once db can no longer be used

	queueMu sync.Mutex
	queue   []*write
	turn    chan struct{} // of capacity 1; full while somebody commits
	swept   []byte        // the key at which the next sweep begins; guarded by turn
}

// Get returns a copy of the value under key, expired or not. It fails if ctx has
// ended, if the entry is damaged, or if the store is closed.
func (b *Bolt) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	if err := checkKey(key); err != nil {
		return nil, false, err
	}
	err = b.view(func(t tree, entries node) error {
		p, err := t.find(entries, []byte(key), toRead)
		if err != nil || !p.found {
			return err
		}
		r, err := p.leaf.record(p.index)
		value, ok = bytes.Clone(r.value), true
		return err
	})
	if err != nil {
		return nil, false, b.wrap(err)
	}
	return value, ok, nil
}

// Put stores value under key and returns when it is on the disk, unless the
// value there has a later fetched time. Concurrent calls share one write to the
// disk.
//
// It fails if key or value is beyond the bounds of a store (1 to 253 octets, and
// 70 KiB), if the disk does not take it, or if the store is closed or damaged;
// then the entry is as it was. If ctx ends while the call waits for its turn,
// it returns ctx.Err and stores nothing; if ctx ends while the disk is at work,
// it returns an error that wraps ctx.Err, and the value may be stored.
func (b *Bolt) Put(ctx context.Context, key string, value []byte, fetched, expires time.Time) error {
	if err := errors.Join(checkKey(key), checkValue(value)); err != nil {
		return err
	}
	return b.wrap(b.write(ctx, &write{
		key:     []byte(key),
		record:  encodeRecord(key, value, fetched, expires),
		fetched: fetched,
	}))
}

// Delete removes key, with the same promise and the same errors as Put.
func (b *Bolt) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return b.wrap(b.write(ctx, &write{key: []byte(key)}))
}

// Scan returns copies of at most limit entries with keys greater than after, in
// byte order of the keys. Each call sees the entries of one moment; nothing is
// held between calls. It fails if ctx has ended, if one of the entries is
// damaged, or if the store is closed.
func (b *Bolt) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if after >= highKey {
		return nil, nil, nil
	}
	err = b.view(func(t tree, entries node) error {
		p, err := t.find(entries, []byte(max(after, lowKey)), toRead)
		if p.found {
			p.index++
		}
		for err == nil && len(keys) < limit {
			if p.index == p.leaf.count {
				p, err = t.after(entries, p)
				continue
			}
			key := string(p.leaf.key(p.index))
			if key == highKey {
				break
			}
			var r record
			if r, err = p.leaf.record(p.index); err == nil {
				keys = append(keys, key)
				values = append(values, bytes.Clone(r.value))
				p.index++
			}
		}
		return err
	})
	if err != nil {
		return nil, nil, b.wrap(err)
	}
	return keys, values, nil
}

// Close waits for the calls under way and closes the file. Later calls of the
// other methods fail with an error that wraps [io/fs.ErrClosed]; later calls of
// Close do nothing.
func (b *Bolt) Close() error {
	b.life.Lock()
	defer b.life.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	if b.broken.Load() != nil {
		// db.Close would wait for a lock that nobody releases. The file stays
		// mapped, and so locked for others, until the process ends.
		return b.wrap(b.file.Close())
	}
	return b.wrap(b.db.Close())
}

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
