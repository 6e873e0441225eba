package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strconv"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// view runs fn in a read-only transaction.
func (b *Bolt) view(fn func(*bolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer b.contain(&err)
	tx, err := b.begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return fn(tx)
}

// update runs fn in a transaction, and commits it unless fn fails. Its caller has the turn.
func (b *Bolt) update(fn func(*bolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer b.contain(&err)
	tx, err := b.begin(true)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		_ = tx.Rollback() // fails if Commit has rolled back
		return writing(err)
	}
	return nil
}

// begin begins a transaction. A panic here leaves locks locked that all of them need.
func (b *Bolt) begin(writable bool) (tx *bolt.Tx, err error) {
	if b.closed.Load() {
		return nil, bolterrors.ErrDatabaseNotOpen
	}
	if b.unreadable.Load() || writable && b.unwritable.Load() {
		return nil, errBroken
	}
	defer func() {
		if tx == nil && err == nil { // a panic
			b.unreadable.Store(true)
		}
	}()
	return b.db.Begin(writable)
}

// contain turns a panic into an error. It works only if it is deferred itself.
// bbolt trusts what it reads. On a damaged file it panics, or reads where nothing is mapped,
// which debug.SetPanicOnFault turns into a panic. Writes after that could damage more.
func (b *Bolt) contain(err *error) {
	if p := recover(); p != nil {
		b.unwritable.Store(true)
		*err = damagef("bbolt: %s", strconv.QuoteToASCII(fmt.Sprint(p)))
	}
}

// A damage is an error that says what is wrong with a file.
type damage string

func (d damage) Error() string { return "the file is damaged: " + string(d) }

func damagef(format string, args ...any) error { return damage(fmt.Sprintf(format, args...)) }

const errBroken damage = "a part of it could not be read, and the store has to be opened again"

var errWriting = errors.New("the file cannot be written")

func writing(err error) error { return fmt.Errorf("%w: %w", errWriting, err) }

// wrap adds the name of the file to err and, if it is damaged, what to do.
func (b *Bolt) wrap(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fmt.Errorf("cache: %q: the store is closed: %w", b.path, fs.ErrClosed)
	case errors.As(err, new(damage)):
		return fmt.Errorf("cache: %q: %w; restore it from a backup, or stop the program and move it away to begin with an empty store", b.path, err)
	}
	return fmt.Errorf("cache: %q: %w", b.path, err)
}
