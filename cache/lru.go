package cache

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

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

	// tickBits of the nanoseconds since the start are a tick, about a second. An entry
	// is moved to the front of its list at its first use in each; to each its own, so
	// that they are not all moved at the same moment.
	tickBits = 30
)

// An LRU is a bounded memory of the most recently used entries. All methods may
// be called concurrently.
//
// The bound is a number of units. What a unit is worth is the caller's choice:
// an entry that costs one unit is an ordinary one, and an entry that takes ten
// times the memory of an ordinary one should cost ten, so that a stranger who
// makes his entries large gets fewer of them rather than more memory.
//
// Get allocates nothing, and it takes a lock only to move an entry. A list of the most
// recently used is in order only if every use moves an entry to its front, under a lock;
// an LRU moves an entry about once in a second. Its order is therefore exact to about a
// second, which is all that eviction needs: only if everything is replaced within
// one second does an entry fall out that was used within that second.
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

// A shard finds its entries by index, and has them in the order of their last moves.
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
		start:  time.Now(),
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
func (l *LRU[V]) Get(key string) *Entry[V] { return l.GetAt(key, l.Since()) }

// Since returns for how long l has existed. It is monotonic.
func (l *LRU[V]) Since() time.Duration {
	// Since a fixed instant: time.Since then reads the monotonic clock only,
	// at half the cost of time.Now.
	return time.Since(l.start)
}

// GetAt is Get for a caller who needs to know the time as well: to read it twice would
// be a good part of what Get costs. It is now, as [LRU.Since] has just returned it.
func (l *LRU[V]) GetAt(key string, now time.Duration) *Entry[V] {
	hash := l.hash(key)
	s := l.shard(hash)
	e := s.index.get(hash, key)
	if e == nil {
		return nil
	}
	if last, now := e.moved.Load(), tick(hash, now); last != now {
		s.move(e, last, now)
	}
	return e
}

// Add puts e under key, in place of an earlier one, and evicts what was not used for
// longest until the costs of all entries are within bounds again. e must be new: to add
// an entry twice would be to change its key.
//
// A cost below 1 is taken as 1. An entry that costs more than the share of its
// shard counts as much as the whole share: it is held, alone in its shard.
func (l *LRU[V]) Add(key string, e *Entry[V], cost int) {
	hash := l.hash(key)
	s := l.shard(hash)
	cost = min(max(cost, 1), s.share)
	e.setKey(key)
	e.moved.Store(tick(hash, l.Since()))

	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.index.get(hash, key)
	if old != nil {
		s.forget(old)
	}
	s.index.put(hash, old, e)
	for s.cost+cost > s.share {
		oldest, its, _ := s.order.RemoveOldest()
		s.index.remove(oldest.hash(l.seed), oldest)
		s.cost -= its
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

// tick is the number of a tick of the key with a hash, as far as it goes.
func tick(hash uint64, now time.Duration) uint32 {
	return uint32((uint64(now) + hash>>shardBits&(1<<tickBits-1)) >> tickBits)
}

// move moves e to the front of the list, unless it is no longer there, or another reader
// does so, who has seen the same last move.
func (s *shard[V]) move(e *Entry[V], last, now uint32) {
	if !e.moved.CompareAndSwap(last, now) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order.Get(e)
}
