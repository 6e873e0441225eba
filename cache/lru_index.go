package cache

import "sync/atomic"

// An index finds entries by their keys. Readers take no lock, and write nothing that
// another core reads, so that they do not slow each other down; a map under a read lock
// costs two writes to a word that all of them share. Whoever changes an index holds a
// lock of his own that keeps out others who would.
//
// It is a hash table with linear probing. What makes reading without a lock safe is that
// a slot is taken by one key for good:
//
//	empty -> entry -> another entry of the same key -> ... -> gone
//
// A reader who looks for a key thus meets every slot that it may be in, and stops only at
// an empty one. A slot that is gone is not taken again: when three quarters have been
// taken, what is there moves to a new table. A reader who is still in the old one finds
// what was true when he came.
type index[V any] struct {
	slots atomic.Pointer[[]indexSlot[V]] // their number is a power of two
	taken int                            // slots that are not empty
	live  int                            // of these, the ones that are not gone
}

// An indexSlot is empty as long as its hash is 0, and gone if it has a hash but no
// entry. The hash is set once, after the entry.
type indexSlot[V any] struct {
	hash  atomic.Uint64
	entry atomic.Pointer[Entry[V]]
}

const minSlots = 8

func (x *index[V]) init() {
	slots := make([]indexSlot[V], minSlots)
	x.slots.Store(&slots)
}

// get returns the entry of key, whose hash is not 0, or nil.
func (x *index[V]) get(hash uint64, key string) *Entry[V] {
	slots := *x.slots.Load()
	for i := hash >> shardBits; ; i++ {
		s := &slots[i&uint64(len(slots)-1)]
		switch s.hash.Load() {
		case hash:
			if e := s.entry.Load(); e != nil && e.key == key {
				return e
			}
		case 0:
			return nil
		}
	}
}

// put puts e in the place of old, which is what get has returned for its key.
func (x *index[V]) put(hash uint64, old, e *Entry[V]) {
	if old != nil {
		x.slotOf(hash, old).entry.Store(e)
		return
	}
	if x.taken >= len(*x.slots.Load())*3/4 {
		x.rebuild()
	}
	x.live++
	x.taken++
	take(*x.slots.Load(), hash, e)
}

// remove removes e, which is there.
func (x *index[V]) remove(hash uint64, e *Entry[V]) {
	x.slotOf(hash, e).entry.Store(nil)
	x.live--
}

// slotOf returns the slot of e, which is there.
func (x *index[V]) slotOf(hash uint64, e *Entry[V]) *indexSlot[V] {
	slots := *x.slots.Load()
	for i := hash >> shardBits; ; i++ {
		if s := &slots[i&uint64(len(slots)-1)]; s.entry.Load() == e {
			return s
		}
	}
}

// rebuild moves what is there to a new table, of which it takes a half at most.
func (x *index[V]) rebuild() {
	size := minSlots
	for size < 2*(x.live+1) {
		size *= 2
	}
	next := make([]indexSlot[V], size)
	old := *x.slots.Load()
	for i := range old {
		if e := old[i].entry.Load(); e != nil {
			take(next, old[i].hash.Load(), e)
		}
	}
	x.slots.Store(&next)
	x.taken = x.live
}

// take puts e into the first empty slot for hash.
func take[V any](slots []indexSlot[V], hash uint64, e *Entry[V]) {
	for i := hash >> shardBits; ; i++ {
		if s := &slots[i&uint64(len(slots)-1)]; s.hash.Load() == 0 {
			s.entry.Store(e)
			s.hash.Store(hash)
			return
		}
	}
}
