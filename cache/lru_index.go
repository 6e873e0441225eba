package cache

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// An index finds entries by their keys. Readers take no lock, and write nothing that
// another core reads, so that they do not slow each other down; a map under a read lock
// costs two writes to a word that all of them share. Whoever changes an index holds a
// lock of his own that keeps out others who would.
//
// It is a hash table of groups with seven slots each. An entry is in the group that its
// hash says or, where that is full, in one of those behind. What makes reading without a
// lock safe is that a slot is taken by one key for good:
//
//	empty -> entry -> another entry of the same key -> ... -> gone
//
// A reader who looks for a key thus meets every slot that it may be in, and stops only at
// a group with an empty one. A slot that is gone is not taken again: when three quarters
// have been taken, what is there moves to a new table. A reader who is still in the old
// one finds what was true when he came.
type index[V any] struct {
	groups atomic.Pointer[[]indexGroup[V]] // their number is a power of two
	_      [64]byte                        // what follows is written by who changes something
	taken  int                             // slots that are not empty
	live   int                             // of these, the ones that are not gone
	seed   maphash.Seed
}

// An indexGroup has for each of its slots an octet of the hash, its tag, by which a
// reader looks at all of them at once and at hardly any entry but the right one. To have
// the whole hash here would take twice the room; and of 10,000 domains, everything
// that a look-up touches should fit in a processor's second cache. A group has 64 octets,
// on machines of 64 bits, as an [Entry] of the client's has: a look-up reads little more
// than one line of each.
type indexGroup[V any] struct {
	tags    atomic.Uint64 // 0 for an empty slot; set once, after the entry
	entries [slotsPerGroup]atomic.Pointer[Entry[V]]
}

const (
	slotsPerGroup = 7

	eachTag = 0x01010101010101 // times a tag: one for each slot
)

func (x *index[V]) init(seed maphash.Seed) {
	groups := make([]indexGroup[V], 1)
	x.groups.Store(&groups)
	x.seed = seed
}

// get returns the entry of key, or nil.
func (x *index[V]) get(hash uint64, key string) *Entry[V] {
	groups := *x.groups.Load()
	for i := hash >> shardBits; ; i++ {
		g := &groups[i&uint64(len(groups)-1)]
		tags := g.tags.Load()
		for same := zeros(tags ^ tagOf(hash)*eachTag); same != 0; same &= same - 1 {
			if e := g.entries[first(same)].Load(); e != nil && e.hasKey(key) {
				return e
			}
		}
		if zeros(tags) != 0 {
			return nil
		}
	}
}

// put puts e in the place of old, which is what get has returned for its key.
func (x *index[V]) put(hash uint64, old, e *Entry[V]) {
	if old != nil {
		x.slotOf(hash, old).Store(e)
		return
	}
	if x.taken >= len(*x.groups.Load())*slotsPerGroup*3/4 {
		x.rebuild()
	}
	x.live++
	x.taken++
	take(*x.groups.Load(), hash, e)
}

// remove removes e, which is there.
func (x *index[V]) remove(hash uint64, e *Entry[V]) {
	x.slotOf(hash, e).Store(nil)
	x.live--
}

// slotOf returns the slot of e, which is there.
func (x *index[V]) slotOf(hash uint64, e *Entry[V]) *atomic.Pointer[Entry[V]] {
	groups := *x.groups.Load()
	for i := hash >> shardBits; ; i++ {
		g := &groups[i&uint64(len(groups)-1)]
		for j := range g.entries {
			if g.entries[j].Load() == e {
				return &g.entries[j]
			}
		}
	}
}

// rebuild moves what is there to a new table, of which it takes a half at most.
func (x *index[V]) rebuild() {
	size := 1
	for size*slotsPerGroup < 2*(x.live+1) {
		size *= 2
	}
	next := make([]indexGroup[V], size)
	old := *x.groups.Load()
	for i := range old {
		for j := range old[i].entries {
			if e := old[i].entries[j].Load(); e != nil {
				take(next, e.hash(x.seed), e)
			}
		}
	}
	x.groups.Store(&next)
	x.taken = x.live
}

// take puts e into the first empty slot for hash.
func take[V any](groups []indexGroup[V], hash uint64, e *Entry[V]) {
	for i := hash >> shardBits; ; i++ {
		g := &groups[i&uint64(len(groups)-1)]
		tags := g.tags.Load()
		if empty := zeros(tags); empty != 0 {
			slot := first(empty)
			g.entries[slot].Store(e)
			g.tags.Store(tags | tagOf(hash)<<(8*slot))
			return
		}
	}
}

// tagOf is an octet of hash, of which other bits say the shard and the group. It is not 0.
func tagOf(hash uint64) uint64 { return hash>>56 | 1 }

// zeros returns the highest bit of each octet of x that is 0, and of some octets above
// the first such that are 1. So it is 0 if there is none, and its first is right.
func zeros(x uint64) uint64 { return (x - eachTag) &^ x & (eachTag << 7) }

// first is the octet that the lowest bit of x is in.
func first(x uint64) int {
	return bits.TrailingZeros64(x) / 8
}
