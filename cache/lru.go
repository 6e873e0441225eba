package cache

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxShards bounds the number of locks. With 16, two of a few dozen cores
	// seldom meet at one lock, and the exclusive one is held for less than a
	// microsecond.
	maxShards = 16

	// minShare is the smallest share of a shard in an LRU that has several.
	// Keys spread over shards by chance, so a shard fills up before the whole
	// does: by about three times the root of its share, which is a tenth of
	// 1024 and more of anything smaller.
	minShare = 1024

	// promoteAfter is how long an entry may go on being used before it is
	// moved to the front of its list again.
	promoteAfter = time.Second
)

// An LRU is a bounded memory of the most recently used values. All methods may
// be called concurrently.
//
// The bound is a number of units. What a unit is worth is the caller's choice:
// an entry that costs one unit is an ordinary one, and an entry that takes ten
// times the memory of an ordinary one should cost ten, so that a stranger who
// makes his entries large gets fewer of them rather than more memory.
//
// Get takes a read lock and allocates nothing. A list of the most recently used
// is in order only if every use moves an entry to its front, under an exclusive
// lock; an LRU moves an entry only if its last move is more than a second ago.
// Its order is therefore exact to about a second, which is all that eviction
// needs: only if everything is replaced within one second does an entry fall
// out that was used within that second.
//
// An LRU of 2048 units and more is divided into up to 16 shards, each with its
// own lock, its own list and an equal share of the units. Which shard a key
// belongs to depends on a secret of this LRU, so that nobody can aim at one. As
// keys spread by chance, a shard may evict while another has room left: count
// on seven eighths of the size. A smaller LRU is a single list and holds its
// size exactly.
type LRU[V any] struct {
	seed   maphash.Seed
	start  time.Time
	shards []shard[V] // their number is a power of two
}

type shard[V any] struct {
	mu    sync.RWMutex
	list  *simplelru.LRU[string, slot[V]]
	cost  int // of all entries together, at most share
	share int

	_ [64]byte // keeps the locks of two shards on different cache lines
}

// A slot is held by value: one pointer less to follow on each Get.
type slot[V any] struct {
	value    V
	cost     int
	promoted time.Duration // since LRU.start
}

// NewLRU returns an LRU of at most size units. A size below 1 is taken as 1.
func NewLRU[V any](size int) *LRU[V] {
	size = max(size, 1)
	n := min(maxShards, max(1, size/minShare))
	n = 1 << (bits.Len(uint(n)) - 1)
	l := &LRU[V]{
		seed:   maphash.MakeSeed(),
		start:  time.Now(),
		shards: make([]shard[V], n),
	}
	for i := range l.shards {
		s := &l.shards[i]
		s.share = size / n
		if i < size%n {
			s.share++
		}
		s.list, _ = simplelru.NewLRU(s.share, s.evicted) // errs only below 1
	}
	return l
}

// Get returns the value that was added last under key, unless it has been
// evicted or removed.
func (l *LRU[V]) Get(key string) (value V, ok bool) {
	s := l.shard(key)
	s.mu.RLock()
	e, ok := s.list.Peek(key)
	s.mu.RUnlock()
	if !ok {
		return value, false
	}
	// Since a fixed instant: time.Since then reads the monotonic clock only,
	// at half the cost of time.Now.
	if now := time.Since(l.start); now-e.promoted > promoteAfter {
		s.promote(key, now)
	}
	return e.value, true
}

// Add puts value under key, in place of an earlier one, and evicts what was not
// used for longest until the costs of all entries are within bounds again.
//
// A cost below 1 is taken as 1. An entry that costs more than the share of its
// shard counts as much as the whole share: it is held, alone in its shard.
func (l *LRU[V]) Add(key string, value V, cost int) {
	s := l.shard(key)
	e := slot[V]{
		value:    value,
		cost:     min(max(cost, 1), s.share),
		promoted: time.Since(l.start),
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.list.Peek(key); ok {
		s.cost -= old.cost
	}
	s.cost += e.cost
	s.list.Add(key, e)
	// The new entry is in front and fits alone, so it is never the one to go.
	for s.cost > s.share {
		s.list.RemoveOldest()
	}
}

// Remove forgets key.
func (l *LRU[V]) Remove(key string) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list.Remove(key)
}

// Len returns the number of entries.
func (l *LRU[V]) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		n += s.list.Len()
		s.mu.RUnlock()
	}
	return n
}

func (l *LRU[V]) shard(key string) *shard[V] {
	return &l.shards[maphash.String(l.seed, key)&uint64(len(l.shards)-1)]
}

// promote moves key to the front of the list, unless another reader has done so
// by now or it is no longer there.
func (s *shard[V]) promote(key string, now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.list.Peek(key); ok && now-e.promoted > promoteAfter {
		e.promoted = now
		s.list.Add(key, e)
	}
}

// evicted is called, under the lock, for each entry that leaves the list.
func (s *shard[V]) evicted(_ string, e slot[V]) {
	s.cost -= e.cost
}
