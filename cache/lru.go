package cache

import (
	"hash/maphash"
	"math/bits"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// shardBits of a hash say which shard a key belongs to. With 16 shards, two of a
	// few dozen cores that change something seldom meet at one lock.
	shardBits = 4
	maxShards = 1 << shardBits

	// minShare is the smallest share of a shard in an LRU that has several.
	// Keys spread over shards by chance, so a shard fills up before the whole
	// does: by about three times the root of its share, which is a tenth of
	// 1024 and more of anything smaller.
	minShare = 1024
)

// An LRU is a bounded memory of recently used entries. All methods may be called
// concurrently.
//
// The bound is a number of units. What a unit is worth is the caller's choice:
// an entry that costs one unit is an ordinary one, and an entry that takes ten
// times the memory of an ordinary one should cost ten, so that a stranger who
// makes his entries large gets fewer of them rather than more memory.
//
// Get takes no lock and allocates nothing: it only marks an entry as used, unless it is
// marked already. A list in the order of use would have to be changed at each use, under
// a lock. So eviction is by second chance (also known as CLOCK), which comes close to
// that order: when Add needs room, a marked entry at the end of the list goes to the front
// once more, without its mark, and the first that has none is evicted. An entry that is
// used on each of its ways through the list stays, unless all others are used too.
//
// An LRU of 2048 units and more is divided into up to 16 shards, each with its
// own lock, its own list and an equal share of the units. Which shard a key
// belongs to depends on a secret of this LRU, so that nobody can aim at one. As
// keys spread by chance, a shard may evict while another has room left: count
// on seven eighths of the size. A smaller LRU is a single list and holds its
// size exactly.
type LRU[V any] struct {
	seed   maphash.Seed
	shards []shard[V] // their number is a power of two
}

// A shard finds its entries by index, and has them in the order in which they are to be
// looked at when one has to go.
type shard[V any] struct {
	index index[V]
	_     [64]byte // keeps the lock, which others write, off the cache line that Get reads

	mu    sync.Mutex                     // held by who changes something
	order *simplelru.LRU[*Entry[V], int] // and what each costs
	cost  int                            // of all entries together, at most share
	share int
	_     [64]byte
}

// NewLRU returns an LRU of at most size units. A size below 1 is taken as 1.
func NewLRU[V any](size int) *LRU[V] {
	size = max(size, 1)
	n := min(maxShards, max(1, size/minShare))
	n = 1 << (bits.Len(uint(n)) - 1)
	l := &LRU[V]{
		seed:   maphash.MakeSeed(),
		shards: make([]shard[V], n),
	}
	for i := range l.shards {
		s := &l.shards[i]
		s.share = size / n
		if i < size%n {
			s.share++
		}
		s.index.init(l.seed)
		s.order, _ = simplelru.NewLRU[*Entry[V], int](s.share, nil) // errs only below 1
	}
	return l
}

// Get returns the entry that was added last under key, nil if there is none: if none
// was added, or it has been evicted or removed.
func (l *LRU[V]) Get(key string) *Entry[V] {
	e := l.Peek(key)
	if e != nil && !e.used.Load() { // to write what is there already would disturb other cores
		e.used.Store(true)
	}
	return e
}

// Peek is Get for those who look after an entry and have no use for it: it leaves no mark.
func (l *LRU[V]) Peek(key string) *Entry[V] {
	hash := l.hash(key)
	return l.shard(hash).index.get(hash, key)
}

// Add puts e under key, in place of an earlier entry, and evicts others until the costs of
// all are within bounds again. Each Entry is added once and no more: to add it again would
// be to change its key under those who read it.
//
// It may have to look at every entry of a shard once, while Get goes on.
//
// A cost below 1 is taken as 1. An entry that costs more than the share of its
// shard counts as much as the whole share: it is held, alone in its shard.
func (l *LRU[V]) Add(key string, e *Entry[V], cost int) {
	hash := l.hash(key)
	s := l.shard(hash)
	cost = min(max(cost, 1), s.share)
	e.setKey(key)

	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.index.get(hash, key)
	if old != nil {
		s.forget(old)
	}
	s.index.put(hash, old, e)
	for s.cost+cost > s.share {
		e := s.unused()
		s.index.remove(e.hash(l.seed), e)
		s.forget(e)
	}
	s.order.Add(e, cost)
	s.cost += cost
}

// Remove forgets key.
func (l *LRU[V]) Remove(key string) {
	hash := l.hash(key)
	s := l.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.index.get(hash, key); e != nil {
		s.index.remove(hash, e)
		s.forget(e)
	}
}

// Len returns the number of entries.
func (l *LRU[V]) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += s.order.Len()
		s.mu.Unlock()
	}
	return n
}

func (l *LRU[V]) hash(key string) uint64 { return maphash.String(l.seed, key) }

func (l *LRU[V]) shard(hash uint64) *shard[V] {
	return &l.shards[hash&uint64(len(l.shards)-1)]
}

// forget takes e out of the order.
func (s *shard[V]) forget(e *Entry[V]) {
	cost, _ := s.order.Peek(e)
	s.order.Remove(e)
	s.cost -= cost
}

// unused brings the order up to date, and returns the entry that is to go.
func (s *shard[V]) unused() *Entry[V] {
	oldest, _, _ := s.order.GetOldest()
	// At most once around: readers may be faster.
	for n := s.order.Len(); n > 0 && oldest.used.Load(); n-- {
		oldest.used.Store(false)
		s.order.Get(oldest) // moves it to the front
		oldest, _, _ = s.order.GetOldest()
	}
	return oldest
}
