package cache

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	maxShards = 16   // so that a few dozen cores seldom wait for the same lock
	minShare  = 1024 // units of a shard: keys spread more unevenly over small ones
)

// An LRU is a bounded cache of recently used values, safe for concurrent use.
//
// The bound is a number of units. A value that takes ten times the memory of an ordinary one
// should cost ten units. Then large values take no more memory than small ones.
//
// Get only marks a value as used, so readers share a lock. Add evicts the oldest value without
// a mark. Older ones lose their mark and count as new: this is second chance, or CLOCK.
//
// An LRU of 2048 units or more has up to 16 shards. A random seed decides which one a key
// belongs to, so nobody can choose keys that fill one shard. Shards fill unevenly: count on
// seven eighths of the size. A smaller LRU has one shard and holds exactly its size.
type LRU[V any] struct {
	seed    maphash.Seed
	shards  []*shard[V] // their number is a power of two
	evicted atomic.Uint64
}

type shard[V any] struct {
	mu    sync.RWMutex
	order *simplelru.LRU[string, *item[V]]
	share int
	cost  int // of all items together, at most share
}

type item[V any] struct {
	value V
	cost  int
	used  atomic.Bool
}

// NewLRU returns an LRU of at most size units. A size below 1 counts as 1.
func NewLRU[V any](size int) *LRU[V] {
	size = max(size, 1)
	n := 1 << (bits.Len(uint(min(maxShards, max(1, size/minShare)))) - 1)
	l := &LRU[V]{seed: maphash.MakeSeed()}
	for range n {
		// Each item costs at least one unit, so the list itself never evicts.
		order, _ := simplelru.NewLRU[string, *item[V]](size/n, nil) // fails only below 1
		l.shards = append(l.shards, &shard[V]{order: order, share: size / n})
	}
	return l
}

// Get returns the value under key, and marks it as used. It reports false if there is none.
func (l *LRU[V]) Get(key string) (value V, ok bool) {
	it := l.item(key)
	if it == nil {
		return value, false
	}
	if !it.used.Load() { // a needless write slows other cores
		it.used.Store(true)
	}
	return it.value, true
}

// Peek is Get without the mark.
func (l *LRU[V]) Peek(key string) (value V, ok bool) {
	if it := l.item(key); it != nil {
		return it.value, true
	}
	return value, false
}

func (l *LRU[V]) item(key string) *item[V] {
	s := l.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, _ := s.order.Peek(key)
	return it
}

// Add puts value under key, in place of an earlier one, and evicts others until the costs are
// within bounds. A cost below 1 counts as 1. A cost above the size of a shard counts as that
// size, so the value is alone in its shard.
func (l *LRU[V]) Add(key string, value V, cost int) {
	s := l.shard(key)
	it := &item[V]{value: value, cost: min(max(cost, 1), s.share)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
	for s.cost+it.cost > s.share {
		s.evict()
		l.evicted.Add(1)
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
func (l *LRU[V]) Len() (n int) {
	for _, s := range l.shards {
		s.mu.RLock()
		n += s.order.Len()
		s.mu.RUnlock()
	}
	return n
}

// Keys returns the keys in no order.
func (l *LRU[V]) Keys() (keys []string) {
	for _, s := range l.shards {
		s.mu.RLock()
		keys = append(keys, s.order.Keys()...)
		s.mu.RUnlock()
	}
	return keys
}

// Evicted returns how many values have been evicted so far.
func (l *LRU[V]) Evicted() uint64 { return l.evicted.Load() }

func (l *LRU[V]) shard(key string) *shard[V] {
	return l.shards[maphash.String(l.seed, key)&uint64(len(l.shards)-1)]
}

func (s *shard[V]) remove(key string) {
	if it, ok := s.order.Peek(key); ok {
		s.order.Remove(key)
		s.cost -= it.cost
	}
}

// evict removes the oldest item without a mark, or the oldest if all have one.
func (s *shard[V]) evict() {
	key, it, _ := s.order.GetOldest()
	for n := s.order.Len(); n > 0 && it.used.Swap(false); n-- {
		s.order.Get(key) // moves it to the front
		key, it, _ = s.order.GetOldest()
	}
	s.remove(key)
}
