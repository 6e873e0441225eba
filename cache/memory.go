package cache

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory is a store that loses everything when the process ends. It is for tests, and for
// senders who accept that an attacker who can forge DNS only has to wait for a restart. Its
// size has no bound. Its zero value is empty, and safe for concurrent use.
type Memory struct {
	mu      sync.RWMutex
	entries map[string]record
	order   []string // the keys in order, for Scan; nil if out of date
}

// Get returns a copy of the value under key, expired or not. It fails if ctx has ended or
// key is invalid.
func (m *Memory) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := cmp.Or(ctx.Err(), checkKey(key)); err != nil {
		return nil, false, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	held, ok := m.entries[key]
	return bytes.Clone(held.value), ok, nil
}

// Write makes all changes in order, and keeps copies of their values. It fails, and changes
// nothing, if ctx has ended or a [Change] is invalid.
func (m *Memory) Write(ctx context.Context, changes []Change) error {
	if err := cmp.Or(ctx.Err(), checkChanges(changes)); err != nil {
		return err
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = make(map[string]record)
	}
	for i := range changes {
		c, rec := &changes[i], changes[i].record()
		held, ok := m.entries[c.Key]
		switch {
		case ok && held.outranks(rec, now):
			continue
		case c.Value == nil:
			delete(m.entries, c.Key)
		default:
			rec.value = bytes.Clone(c.Value)
			m.entries[c.Key] = rec
		}
		if ok != (c.Value != nil) { // a key was added or removed
			m.order = nil
		}
	}
	return nil
}

// Scan returns copies of at most limit entries with keys greater than after, in byte
// order of the keys. It fails only if ctx has ended.
func (m *Memory) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.order == nil {
		m.order = slices.Sorted(maps.Keys(m.entries))
	}
	first, _ := slices.BinarySearch(m.order, after+"\x00")
	for i := first; i < len(m.order) && len(keys) < limit; i++ {
		keys = append(keys, m.order[i])
		values = append(values, bytes.Clone(m.entries[m.order[i]].value))
	}
	return keys, values, nil
}
