package cache

import (
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// A store has two buckets. The entries lie between two records that no caller
// can reach, so that an entry always has a neighbour on either side by which to
// tell, when it is not found, that it is not there.
const (
	metaBucket    = "go-mtasts store" // about the store: its format version
	entriesBucket = "entries"         // key -> record

	lowKey  = "\x00"
	highKey = "\xff"
)

// view runs fn on the entries in a transaction that sees them as they are now.
func (b *Bolt) view(fn func(t tree, entries node) error) (err error) {
	b.life.RLock()
	defer b.life.RUnlock()
	if err := b.usable(); err != nil {
		return err
	}
	var tx *bolt.Tx
	defer b.contain(&tx, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return b.db.View(func(t *bolt.Tx) error {
		tx = t
		return withEntries(t, fn)
	})
}

// update runs fn in a transaction that changes the entries, and commits it
// unless fn fails. The caller holds b.life and b.turn.
func (b *Bolt) update(fn func(tx *bolt.Tx, t tree, entries node) error) (err error) {
	if err := b.usable(); err != nil {
		return err
	}
	var tx *bolt.Tx
	defer b.contain(&tx, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return b.db.Update(func(t *bolt.Tx) error {
		tx = t
		if err := checkLength(b.file, tx.Size()); err != nil {
			return err
		}
		return withEntries(t, func(tree tree, entries node) error { return fn(t, tree, entries) })
	})
}

func withEntries(tx *bolt.Tx, fn func(t tree, entries node) error) error {
	t := treeOf(tx)
	entries, ok, err := t.bucket(entriesBucket)
	if err == nil && !ok {
		err = damagef("it has no bucket %q", entriesBucket)
	}
	if err != nil {
		return err
	}
	return fn(t, entries)
}

// usable looks at what bbolt is about to rely on when it begins a transaction.
// It would find out by itself too, with a panic or a fault, but while it holds
// its own locks, which then nobody releases. One way to get there is to copy
// a backup over the file of a running program.
func (b *Bolt) usable() error {
	if b.closed {
		return fmt.Errorf("the store is closed: %w", fs.ErrClosed)
	}
	if err := b.broken.Load(); err != nil {
		return *err
	}
	// Either meta page will do: the other may be being written right now. The
	// second comes first because its presence shows that of the first.
	var buf [metaSize]byte
	for _, page := range [2]int{1, 0} {
		if _, err := b.file.ReadAt(buf[:], int64(page*b.pageSize)); err != nil {
			return damagef("meta page %d: %v", page, err)
		}
		if m, err := parseMeta(buf[:]); err == nil && int(m.pageSize) == b.pageSize {
			return nil
		}
	}
	return damage("neither meta page is valid")
}

// contain turns a panic of bbolt, or a fault in the mapped file, into an error.
// It is deferred around a transaction; tx is nil if that has not begun.
func (b *Bolt) contain(tx **bolt.Tx, err *error) {
	p := recover()
	if p == nil {
		return
	}
	*err = caught(p)
	// A transaction that has been rolled back no longer has a DB. If it has
	// one, bbolt's locks are still held, and whoever came next would wait for
	// ever.
	if *tx == nil || (*tx).DB() != nil {
		b.broken.Store(err)
	}
}

func caught(p any) error {
	return damagef("bbolt: %s", strconv.QuoteToASCII(fmt.Sprint(p)))
}

// checkLength makes sure that all pages in use are in the file: reading a page
// of the mapping that is not is a fault.
func checkLength(file *os.File, want int64) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < want {
		return damagef("%d octets are left of %d", info.Size(), want)
	}
	return nil
}
