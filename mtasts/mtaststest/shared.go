package mtaststest

import (
	"context"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
)

// SharedMemory is a [mtasts.SharedStore] in memory, for clients of one process. It loses
// everything when the process ends. Its zero value is empty, and safe for concurrent use.
type SharedMemory struct {
	// NoNotices makes it a store without notices: Watch only waits, and Alert does nothing. Set
	// it before the first use.
	NoNotices bool

	mu       sync.Mutex
	entries  *cache.Memory
	settled  time.Time            // until then an absent key proves nothing
	leases   map[string]time.Time // when they end
	watchers map[*func(mtasts.Notice)]bool
}

func (m *SharedMemory) memory() *cache.Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = new(cache.Memory)
	}
	return m.entries
}

// Get is [cache.Memory.Get].
func (m *SharedMemory) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	return m.memory().Get(ctx, key)
}

// Scan is [cache.Memory.Scan].
func (m *SharedMemory) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	return m.memory().Scan(ctx, after, limit)
}

// Write is [cache.Memory.Write]. It gives notice of the changes to all clients, the writer too.
func (m *SharedMemory) Write(ctx context.Context, changes []cache.Change) error {
	if err := m.memory().Write(ctx, changes); err != nil {
		return err
	}
	for i := range changes {
		m.notify(mtasts.Notice{Key: changes[i].Key})
	}
	return nil
}

// Lose removes keys, or everything if there are none, as a server does that evicts entries or is
// restarted without them. It gives notice of that.
func (m *SharedMemory) Lose(keys ...string) {
	memory := m.memory()
	if len(keys) == 0 {
		m.mu.Lock()
		m.entries, m.leases = nil, nil
		m.settled = time.Now().Add(settleTime)
		m.mu.Unlock()
		m.notify(mtasts.Notice{})
	}
	for _, key := range keys {
		latest := time.Unix(1<<33, 0)
		_ = memory.Write(context.Background(), []cache.Change{{Key: key, Fetched: latest}}) // fails for no key that is there
		m.notify(mtasts.Notice{Key: key})
	}
}

// Lease takes a lease. It fails only if ctx has ended.
func (m *SharedMemory) Lease(ctx context.Context, name string, d time.Duration) (ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if now.Before(m.leases[name]) {
		return false, nil
	}
	if m.leases == nil {
		m.leases = make(map[string]time.Time)
	}
	m.leases[name] = now.Add(d)
	return true, nil
}

// Alert gives notice of key to all clients. It fails only if ctx has ended.
func (m *SharedMemory) Alert(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.notify(mtasts.Notice{Key: key, Alert: true})
	return nil
}

// settleTime is how long clients have to write back what Lose has taken away.
const settleTime = time.Second

// Settle waits for up to a second after a Lose of everything.
func (m *SharedMemory) Settle(ctx context.Context) (waited bool, err error) {
	for ; ; waited = true {
		m.mu.Lock()
		wait := time.Until(m.settled)
		m.mu.Unlock()
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

// Watch calls f with each Notice until ctx ends.
func (m *SharedMemory) Watch(ctx context.Context, f func(mtasts.Notice)) {
	m.mu.Lock()
	if m.watchers == nil {
		m.watchers = make(map[*func(mtasts.Notice)]bool)
	}
	m.watchers[&f] = true
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	delete(m.watchers, &f)
	m.mu.Unlock()
}

func (m *SharedMemory) notify(n mtasts.Notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for f := range m.watchers {
		if !m.NoNotices {
			(*f)(n)
		}
	}
}
