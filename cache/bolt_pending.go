package cache

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// perFlush is how many writes a transaction takes over from the log. A transaction
// writes no page in place, so the more it takes the larger the file becomes.
const perFlush = 64

// store has batch on the disk when it returns nil. What is put is in the log then, and
// pending, which is to say that it has yet to become part of the file; reading looks
// there first. The caller has the turn.
func (b *Bolt) store(batch []*write) error {
	if b.unsynced || !forLog(batch) {
		return b.flush(batch...)
	}
	if err := b.writable(); err != nil {
		return err
	}
	r := b.beginBatch(len(batch))
	var group []*write
	for _, w := range batch {
		r.reset(b.state)
		var changed bool
		if changed, w.err = b.admit(r, w); changed {
			group = append(group, w)
		}
	}
	if len(group) == 0 {
		return nil
	}
	err := b.wal.add(group)
	if err == errNoRoom {
		if err := b.flush(); err != nil {
			return err
		}
		err = b.wal.add(group)
	}
	if err != nil {
		// The log cannot be made or written, or is too small for these.
		return b.flush(group...)
	}
	b.pend(group)
	return nil
}

// forLog reports whether the order of batch does not matter. A removal, or a key that is
// there twice, is for a transaction, and so nothing that is pending depends on what was
// before it.
func forLog(batch []*write) bool {
	if len(batch) == 1 {
		return !batch[0].remove
	}
	keys := make(map[string]bool, len(batch))
	for _, w := range batch {
		if w.remove || keys[string(w.key)] {
			return false
		}
		keys[string(w.key)] = true
	}
	return true
}

// admit reports whether w would change anything. What the file cannot take, because it
// is damaged where w belongs, is an error now and not only when the log is flushed.
func (b *Bolt) admit(r *reader, w *write) (changed bool, err error) {
	p, err := r.find(b.state.entries, w.key, toPut)
	if err != nil {
		return false, err
	}
	var held record
	if pending, ok := b.pending[string(w.key)]; ok {
		held = pending.record
	} else if !p.found {
		return true, nil
	} else if held, err = p.leaf.record(p.index); err != nil {
		return true, nil // no time to compare with
	}
	if held.after(w.record) || w.record.after(held) {
		return !held.outranks(w.record), nil
	}
	value, err := b.shared.value(r, b.state.entries, w.key, held)
	held.value, held.isShared = value, false
	return err != nil || !bytes.Equal(held.encode(w.key), w.record.encode(w.key)), nil
}

// pend lets readers see group, which is in the log.
func (b *Bolt) pend(group []*write) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range group {
		b.pending[string(w.key)] = &write{key: w.key, record: w.record, shared: w.shared}
	}
}

// settle forgets what is pending and as old as batch, which the file has now.
func (b *Bolt) settle(batch []*write) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range batch {
		if p, ok := b.pending[string(w.key)]; ok && w.err == nil && !p.record.after(w.record) {
			delete(b.pending, string(w.key))
		}
	}
}

// flush makes what is pending part of the file, and batch after it, and lets the log
// begin anew. What the file does not take, because it has been damaged meanwhile, stays
// pending and in the log.
func (b *Bolt) flush(batch ...*write) error {
	writes := b.sortedPending()
	for len(writes) > perFlush {
		if err := b.commit(writes[:perFlush]); err != nil {
			return err
		}
		writes = writes[perFlush:]
	}
	if writes = append(writes, batch...); len(writes) > 0 || b.unsynced {
		if err := b.commit(writes); err != nil {
			return err
		}
	}
	// An error is one of all the batch too: what the log had of its keys would come
	// back after a crash.
	var err error
	if len(b.pending) > 0 {
		err = b.wal.replace(b.sortedPending())
	} else {
		err = b.wal.reset()
	}
	if err != nil {
		err = fmt.Errorf("its log %q cannot be written: %w", b.wal.path, withoutPath(err))
	}
	return err
}

func (b *Bolt) sortedPending() []*write {
	return slices.SortedFunc(maps.Values(b.pending), func(v, w *write) int { return bytes.Compare(v.key, w.key) })
}

// takeUp makes writes pending that an earlier process has left in the log, unless the
// file has them already.
func (b *Bolt) takeUp(writes []*write) {
	r := b.beginBatch(len(writes))
	for _, w := range writes {
		r.reset(b.state)
		if changed, err := b.admit(r, w); changed || err != nil {
			b.pend([]*write{w})
		}
	}
}

// closeLog ends the log, which is kept if the file does not take all of it.
func (b *Bolt) closeLog() error {
	err := b.broken
	if err == nil {
		err = b.flush()
	}
	n := len(b.pending)
	if err == nil && n == 0 {
		b.wal.remove()
		return nil
	}
	b.wal.close()
	switch {
	case n == 0 && b.broken != nil:
		return nil
	case n == 0:
		return err
	case err == nil:
		err = errors.New("it is damaged in places")
	}
	return fmt.Errorf("%w; what it did not take, %d entries, is in %q and will be read when the store is opened again", err, n, b.wal.path)
}
