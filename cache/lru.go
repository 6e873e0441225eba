package cache

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// With 16 shards, a few dozen cores seldom meet at one lock.
	maxShards = 16

	// minShare is the smallest share of a shard in an LRU that has several. Keys spread
	// over shards by chance, so a shard is full before the whole is: by about three times
	// the root of its share, which is a tenth of 1024.
	minShare = 1024
)

// An LRU is a bounded cache of recently used values. All methods may be called
// concurrently.
//
// The bound is a number of units, and each value costs one unit or more. A value that
// takes ten times the memory of an ordinary one should cost ten. Whoever publishes large
// values then gets fewer of them cached, not more memory.
//
// Eviction is by second chance, also known as CLOCK. Get only marks a value as used, so
// readers share the lock of a shard. When Add needs room, a marked value at the old end
// of the list goes to the front without its mark, and the first one without a mark is
// evicted. A value that is used between two of its turns stays.
//
// An LRU of 2048 units or more is divided into up to 16 shards, each with its own lock,
// list and share of the units. A secret of this LRU decides which shard a key belongs to,
// so nobody can aim at one. Shards fill unevenly: count on seven eighths of the size. A
// smaller LRU has one shard and holds its size exactly.
type LRU[V any] struct {
	seed   maphash.Seed
	shards []shard[V] // their number is a power of two
}

type shard[V any] struct {
	mu      sync.RWMutex
	order   *simplelru.LRU[string, *item[V]]
	share   int
	cost    int // of all items together, at most share
	evicted uint64
	_       [64]byte // readers of one shard write to its lock only, not to the next one's
}

type item[V any] struct {
	value V
	cost  int
	used  atomic.Bool
}

// NewLRU returns an LRU of at most size units. A size below 1 is taken as 1.
func NewLRU[V any](size int) *LRU[V] {
	size = max(size, 1)
	n := min(maxShards, max(1, size/minShare))
	n = 1 << (bits.Len(uint(n)) - 1)
	l := &LRU[V]{seed: maphash.MakeSeed(), shards: make([]shard[V], n)}
	for i := range l.shards {
		s := &l.shards[i]
		s.share = size / n
		if i < size%n {
			s.share++
		}
		// Each item costs at least one unit, so the list never evicts by itself.
		s.order, _ = simplelru.NewLRU[string, *item[V]](s.share, nil) // errs only below 1
	}
	return l
}

// Get returns the value that was added last under key, and marks it as used. It reports
// false if none was added, or it has been evicted or removed.
func (l *LRU[V]) Get(key string) (value V, ok bool) { return l.get(key, true) }

// Peek is Get without the mark.
func (l *LRU[V]) Peek(key string) (value V, ok bool) { return l.get(key, false) }

func (l *LRU[V]) get(key string, use bool) (value V, ok bool) {
	s := l.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, ok := s.order.Peek(key)
	if !ok {
		return value, false
	}
	if use && !it.used.Load() { // to write what is there already would slow other cores
		it.used.Store(true)
	}
	return it.value, true
}

// Add puts value under key, in place of an earlier one, and evicts others until all
// costs together are within bounds. Now and then it visits every value of a shard.
//
// A cost below 1 is taken as 1. A value that costs more than the share of its shard
// counts as much as the whole share: it is held, alone in its shard.
func (l *LRU[V]) Add(key string, value V, cost int) {
	s := l.shard(key)
	it := &item[V]{value: value, cost: min(max(cost, 1), s.share)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
	for s.cost+it.cost > s.share {
		s.evict()
	}
	s.order.Add(key, it)
	s.cost += it.cost
}

// Remove removes key.
func (l *LRU[V]) Remove(key string) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
}

// Len returns the number of values.
func (l *LRU[V]) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		n += s.order.Len()
		s.mu.RUnlock()
	}
	return n
}

// Evicted returns how many values have been evicted so far.
func (l *LRU[V]) Evicted() uint64 {
	n := uint64(0)
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		n += s.evicted
		s.mu.RUnlock()
	}
	return n
}

func (l *LRU[V]) shard(key string) *shard[V] {
	return &l.shards[maphash.String(l.seed, key)&uint64(len(l.shards)-1)]
}

func (s *shard[V]) remove(key string) {
	if it, ok := s.order.Peek(key); ok {
		s.order.Remove(key)
		s.cost -= it.cost
	}
}

// evict removes the oldest item without a mark. It comes to an end because nobody can
// set a mark while the lock is held.
func (s *shard[V]) evict() {
	key, it, _ := s.order.GetOldest()
	for it.used.Load() {
		it.used.Store(false)
		s.order.Get(key) // moves it to the front
		key, it, _ = s.order.GetOldest()
	}
	s.remove(key)
	s.evicted++
}
