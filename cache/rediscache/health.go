package rediscache

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// health is what a Store knows about its servers.
//
// A server that was lost for a while may have lost entries: it was restarted without them, or a
// replica that lacks the latest ones has taken its place. Then an absent key proves nothing
// until other relays have had the time to write back what they have in memory.
type health struct {
	grace time.Duration
	good  atomic.Bool // err is nil; readable without the lock

	mu       sync.Mutex
	err      error     // why a server cannot be reached, or nil
	until    time.Time // until then an absent key proves nothing
	returned bool      // servers have come back, and nobody has inspected them
	eviction string
}

// Stats are the state of a [Store].
type Stats struct {
	// Connected is true if all servers answer.
	Connected bool

	// Eviction is empty, or the maxmemory-policy with which a server may evict policies before
	// they expire: an attacker's tool. It was read when the connection was made.
	Eviction string
}

// Stats returns the current state. It is cheap.
func (s *Store) Stats() Stats {
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{Connected: h.good.Load(), Eviction: h.eviction}
}

// down notes that a server cannot be reached because of err, or, if that is nil, that it may have
// lost entries. It reports whether err is news.
func (h *health) down(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.good.Store(false)
	first := h.err == nil && err != nil
	h.err = cmp.Or(err, h.err)
	return first
}

// up notes that a server has answered. It reports whether that is news.
func (h *health) up() bool {
	if h.good.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.good.Load() {
		return false
	}
	h.good.Store(true)
	h.err = nil
	h.returned = true
	h.until = time.Now().Add(h.grace)
	return true
}

// takeReturned reports once whether servers have come back.
func (h *health) takeReturned() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	returned := h.returned
	h.returned = false
	return returned
}

// reason returns why a server cannot be reached, or nil.
func (h *health) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func (h *health) setEviction(policy string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.eviction = policy
}

// settle waits until an absent key proves something. It returns false at once if it does, and
// true after a wait. The error is that of ctx.
func (h *health) settle(ctx context.Context) (waited bool, err error) {
	for ; ; waited = true {
		h.mu.Lock()
		wait := time.Until(h.until)
		h.mu.Unlock()
		if wait <= 0 {
			return waited, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
	}
}
