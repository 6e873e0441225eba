package cache

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory is a Store that forgets everything when the process ends. It is for
// tests, and for senders who accept that after each restart an attacker who can
// forge DNS may talk them out of every policy they had learnt. Everybody else
// uses [Bolt].
//
// A store must not lose what has not expired, so a Memory has no bound: it
// grows with the number of domains that publish a policy. Expired entries are
// dropped when the number of entries has doubled since they were last looked
// for.
//
// The zero value is ready to use. All methods may be called concurrently.
type Memory struct {
	mu      sync.RWMutex
	entries map[string]memoryEntry
	sweepAt int      // the number of entries at which to look for expired ones
	order   []string // the keys in order, for Scan; nil if they have changed
}

type memoryEntry struct {
	value            []byte
	fetched, expires time.Time // wall clock only, as in a file
}

// outranks reports whether e stays in spite of a write of what was fetched at fetched.
func (e memoryEntry) outranks(fetched time.Time) bool {
	return e.fetched.After(fetched) && !time.Now().After(e.expires)
}

// Get returns a copy of the value under key. It fails if ctx has ended, or if key is
// none that a store can have.
func (m *Memory) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	if err := checkKey(key); err != nil {
		return nil, false, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	e, ok := m.entries[key]
	return bytes.Clone(e.value), ok, nil
}

// Put stores a copy of value under key, unless the value there has a later
// fetched time and has not expired. It fails if ctx has ended, or if key or value is beyond the
// bounds of a store: 1 to 253 octets, and 70 KiB.
func (m *Memory) Put(ctx context.Context, key string, value []byte, fetched, expires time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := errors.Join(checkKey(key), checkValue(value)); err != nil {
		return err
	}
	e := memoryEntry{bytes.Clone(value), fetched.Round(0), expires.Round(0)}

	m.mu.Lock()
	defer m.mu.Unlock()
	held, ok := m.entries[key]
	switch {
	case ok && held.outranks(e.fetched):
		return nil
	case !ok:
		m.grow()
	}
	m.entries[key] = e
	return nil
}

// Delete removes key, unless the value there has a later fetched time and has not
// expired. It fails if
// ctx has ended, or if key is none that a store can have.
func (m *Memory) Delete(ctx context.Context, key string, fetched time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if held, ok := m.entries[key]; ok && !held.outranks(fetched) {
		delete(m.entries, key)
		m.order = nil
	}
	return nil
}

// Scan returns copies of at most limit entries with keys greater than after, in
// byte order of the keys. It fails only if ctx has ended.
func (m *Memory) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.order == nil {
		m.order = slices.Sorted(maps.Keys(m.entries))
	}
	i, found := slices.BinarySearch(m.order, after)
	if found {
		i++
	}
	rest := m.order[i:]
	for _, key := range rest[:min(len(rest), max(limit, 0))] {
		keys = append(keys, key)
		values = append(values, bytes.Clone(m.entries[key].value))
	}
	return keys, values, nil
}

// grow makes room for one more key. It drops what has expired each time that
// the number of entries has doubled, so that a Put pays for looking at two
// entries on average, and expired entries never outnumber the others by much.
func (m *Memory) grow() {
	if m.entries == nil {
		m.entries = make(map[string]memoryEntry)
	}
	m.order = nil
	if len(m.entries) < m.sweepAt {
		return
	}
	now := time.Now()
	maps.DeleteFunc(m.entries, func(_ string, e memoryEntry) bool { return now.After(e.expires) })
	m.sweepAt = 2*len(m.entries) + 64
}
