package cache

import (
	"encoding/binary"
	"sync/atomic"
)

// branches are branch pages that have been read and checked, in memory: of the pages
// on the way to an entry, then, only the last is read from the file. They belong to
// one state each, and as the next transaction may put something else into any page
// that this state no longer needs, they are of no use in another.
//
// A page has one slot, which is its own for as long as the state lasts if it came
// first: so nothing is thrown out to be read again, and the topmost branches, which
// come before all others, are held however many there are. Of pages of 4 KiB, at most
// 25 MiB are held, with the prefixes of their keys: all branches of a million entries.
// All methods may be called concurrently, and on nil.
type branches [64]atomic.Pointer[branchSlots]

// branchSlots are a part of the slots, made when one of them is needed.
type branchSlots [64]atomic.Pointer[branch]

type branch struct {
	node
	txid uint64

	// The element by which another held branch, or the root, refers to this one, and
	// with which it has been compared. Neither of the two can have changed since.
	parent uint64
	index  int
}

// get returns page id of the state after the transaction txid, or nil if it is not held.
func (b *branches) get(id, txid uint64) *branch {
	if b == nil {
		return nil
	}
	slots := b.slotsOf(id).Load()
	if slots == nil {
		return nil
	}
	held := slots.slotOf(id).Load()
	if held == nil || held.id != id || held.txid != txid {
		return nil
	}
	return held
}

// put holds n, which must not change any more and belongs below the element i of parent.
// It reports whether it does.
func (b *branches) put(n node, txid uint64, parent node, i int) bool {
	if b == nil || len(n.data) > keepBuffer {
		return false
	}
	slots := b.slotsOf(n.id)
	if slots.Load() == nil {
		slots.CompareAndSwap(nil, new(branchSlots))
	}
	slot := slots.Load().slotOf(n.id)
	if held := slot.Load(); held != nil && held.txid >= txid {
		return false
	}
	held := &branch{node: n.withPrefixes(), txid: txid}
	if parent.isHeld() {
		held.parent, held.index = parent.id, i
	}
	slot.Store(held)
	return true
}

func (b *branches) slotsOf(id uint64) *atomic.Pointer[branchSlots] {
	return &b[id/uint64(len(branchSlots{}))%uint64(len(b))]
}

func (s *branchSlots) slotOf(id uint64) *atomic.Pointer[branch] { return &s[id%uint64(len(s))] }

// isBelow reports whether b is known to belong below the element i of n.
func (b *branch) isBelow(n node, i int) bool {
	return b.parent == n.id && b.index == i && n.isHeld()
}

// isHeld reports whether n stays as it is for as long as its state lasts.
func (n node) isHeld() bool { return n.prefixes != nil }

// withPrefixes makes n one that is held.
func (n node) withPrefixes() node {
	n.prefixes = make([]uint64, n.count)
	for i := range n.prefixes {
		n.prefixes[i] = prefix(n.key(i))
	}
	return n
}

// prefix returns the beginning of key as a number: of a greater key, it is not less. The
// prefixes of a page lie close together. A search among keys waits for the memory at each
// step instead: for an element, and then for its key.
func prefix(key []byte) uint64 {
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}
