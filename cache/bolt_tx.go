package cache

import (
	"fmt"
	"runtime/debug"
	"strconv"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// bbolt believes what it reads. On a damaged file it panics, or follows a reference to
// where nothing is mapped, which ends the process unless debug.SetPanicOnFault is set.
// Here both become errors.

// view runs fn in a transaction that only reads.
func (b *Bolt) view(fn func(*bolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer asError(&err)
	tx, err := b.begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return fn(tx)
}

// update runs fn in a transaction, and commits that unless fn fails. The caller has the
// turn.
//
// A panic in fn is rolled back, because nothing has been written. A panic later than that
// leaves bbolt in the midst of its work, so nothing is written any more. Readers go on
// with the last transaction.
func (b *Bolt) update(fn func(*bolt.Tx) error) (err error) {
	if b.unwritable.Swap(true) {
		return errUnwritable
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer asError(&err)
	tx, err := b.begin(true)
	if err == nil {
		if err = attempt(tx, fn); err == nil {
			err = writing(tx.Commit())
		}
		if err != nil {
			_ = tx.Rollback() // says so if Commit has done it
		}
	}
	b.unwritable.Store(false)
	return err
}

// attempt runs fn and makes a panic in it an error.
func attempt(tx *bolt.Tx, fn func(*bolt.Tx) error) (err error) {
	defer asError(&err)
	return fn(tx)
}

// begin begins a transaction. A panic in here leaves locks of bbolt locked which every
// transaction needs.
func (b *Bolt) begin(writable bool) (tx *bolt.Tx, err error) {
	switch {
	case b.closed.Load():
		return nil, bolterrors.ErrDatabaseNotOpen
	case b.unreadable.Load():
		return nil, errUnreadable
	}
	defer func() {
		if tx == nil && err == nil { // a panic
			b.unreadable.Store(true)
		}
	}()
	return b.db.Begin(writable)
}

// asError makes a panic an error. It must be deferred itself.
func asError(err *error) {
	if p := recover(); p != nil {
		*err = damagef("bbolt: %s", strconv.QuoteToASCII(fmt.Sprint(p)))
	}
}
