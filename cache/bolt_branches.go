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
// 20 MiB are held, with the prefixes of their keys: all branches of a million entries.
// All methods may be called concurrently, and on nil.
type branches [4096]atomic.Pointer[branch]

type branch struct {
	node
	id, txid uint64
}

// get returns page id of the state after the transaction txid, if it is held.
func (b *branches) get(id, txid uint64) (n node, ok bool) {
	if b == nil {
		return node{}, false
	}
	held := b[id%uint64(len(b))].Load()
	if held == nil || held.id != id || held.txid != txid {
		return node{}, false
	}
	return held.node, true
}

// put holds n, which must not change any more, and reports whether it does.
func (b *branches) put(id, txid uint64, n node) bool {
	if b == nil || len(n.data) > keepBuffer {
		return false
	}
	slot := &b[id%uint64(len(b))]
	if held := slot.Load(); held != nil && held.txid >= txid {
		return false
	}
	n.prefixes = make([]uint64, n.count)
	for i := range n.prefixes {
		n.prefixes[i] = prefix(n.key(i))
	}
	slot.Store(&branch{n, id, txid})
	return true
}

// prefix returns the beginning of key as a number: of a greater key, it is not less. The
// prefixes of a page lie close together. A search among keys waits for the memory at each
// step instead: for an element, and then for its key.
func prefix(key []byte) uint64 {
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}
