package cache

import (
	"hash/maphash"
	"sync/atomic"
)

// An Entry is what an [LRU] holds under a key. The LRU never looks at Value; whoever
// changes it after [LRU.Add] must let others read it meanwhile.
type Entry[V any] struct {
	// With many entries, to wait for memory is most of what Get takes. So an Entry is
	// one piece, with what Get needs to know and the key that it compares, unless that
	// is longer than most names of domains are; and with a Value of three words of 64
	// bits it has 64 octets, what a processor reads at once. Costs are elsewhere, where
	// only Add looks for them.

	used atomic.Bool // since it came to the front of the order

	// The key.
	size  uint8
	short [27]byte
	long  *string // nil if the key is short

	Value V
}

func (e *Entry[V]) setKey(key string) {
	if len(key) > len(e.short) {
		long := key // else each key would be moved to the heap, whatever its length
		e.long = &long
		return
	}
	e.size = uint8(copy(e.short[:], key))
}

func (e *Entry[V]) hasKey(key string) bool {
	if e.long != nil {
		return *e.long == key
	}
	return string(e.short[:e.size]) == key
}

// hash is that of the key, as [maphash.String] returns it.
func (e *Entry[V]) hash(seed maphash.Seed) uint64 {
	if e.long != nil {
		return maphash.String(seed, *e.long)
	}
	return maphash.Bytes(seed, e.short[:e.size])
}
