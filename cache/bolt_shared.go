package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Most policies are copies of a few providers' files. What the values of several
// entries have in common at their end is kept once: as a record of its own, among
// the entries but in front of all keys that a caller can have. It is never changed
// and never removed, so that no entry can lose its end; there is a bound on all of
// it together, and what comes later is kept with each entry.

// A sharedID is the beginning of the SHA-256 of what is shared. Of octets with the same
// one, the first are shared; so nothing is shared anew where what has been before
// cannot be told for sure.
type sharedID [3]byte

const (
	sharedPrefix = "\x01" // then the sharedID; less than any entry's key
	firstKey     = "\x02" // greater than any of these

	// minShared is what it costs to refer to something else, and some more.
	minShared = 32

	// maxShared and maxAllShared bound what one and all of it can be, in octets. It
	// is held in memory too.
	maxShared    = 1 << 10
	maxAllShared = 1 << 20

	// maxSeen is how many candidates a store remembers.
	maxSeen = 1 << 14
)

// PutShared is [Bolt.Put] for a value of which the end, value[shared:], is probably that
// of other values too. The store keeps such an end once, if it has 32 octets to 1 KiB. It
// fails if shared is negative or greater than the length of value.
func (b *Bolt) PutShared(ctx context.Context, key string, value []byte, shared int, fetched, expires time.Time) error {
	if err := errors.Join(ctx.Err(), checkKey(key), checkValue(value)); err != nil {
		return err
	}
	if shared < 0 || shared > len(value) {
		return fmt.Errorf("cache: the value has %d octets, and those from %d on are to be shared", len(value), shared)
	}
	return b.wrap(b.write(ctx, &write{
		key:    []byte(key),
		record: record{fetched: fetched, expires: expires, value: bytes.Clone(value)},
		shared: shared,
	}))
}

// sharedEnds are those that have been asked for, in memory.
type sharedEnds struct {
	mu   sync.RWMutex
	ends map[sharedID][]byte

	// Of whoever has the turn.
	seen   map[sharedID]string // candidates, and the key of the first entry with it
	walked bool                // room is known
	room   int                 // octets that may still be shared
	more   bool                // in ends than in the file, if the transaction fails
}

// get returns the end with an identity, which lies among entries.
func (e *sharedEnds) get(r *reader, entries node, id sharedID) (end []byte, ok bool, err error) {
	e.mu.RLock()
	end, ok = e.ends[id]
	e.mu.RUnlock()
	if ok {
		return end, true, nil
	}
	p, err := r.find(entries, id.key(), toRead)
	if err != nil || !p.found {
		return nil, false, err
	}
	rec, err := p.leaf.record(p.index)
	if err != nil {
		return nil, false, err
	}
	end = bytes.Clone(rec.value)
	e.put(id, end)
	return end, true, nil
}

func (e *sharedEnds) put(id sharedID, end []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ends == nil {
		e.ends = make(map[sharedID][]byte)
	}
	e.ends[id] = end
}

// value returns a copy of the whole value of rec, which is under key.
func (e *sharedEnds) value(r *reader, entries node, key []byte, rec record) ([]byte, error) {
	if !rec.isShared {
		return bytes.Clone(rec.value), nil
	}
	end, ok, err := e.get(r, entries, rec.shared)
	if err == nil && !ok {
		err = damage("it is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("what the entry %+.80q shares with others: %w", key, err)
	}
	value := make([]byte, 0, len(rec.value)+len(end))
	return append(append(value, rec.value...), end...), nil
}

// hasRoom reports whether another end may be shared. There is no room where it cannot be
// told what is shared already.
func (e *sharedEnds) hasRoom(r *reader, s *state, end []byte) bool {
	if !e.walked {
		e.walked, e.room = true, maxAllShared
		walk := scan{from: sharedPrefix, until: firstKey, limit: maxAllShared / minShared, shared: e}
		for walk.from < walk.until && len(walk.found) < walk.limit {
			r.reset(s)
			walk.leaf(r, s.entries)
		}
		for _, known := range walk.found {
			e.room -= len(known.value)
		}
		if walk.err != nil {
			e.room = 0
		}
	}
	return len(end) <= e.room
}

// settle brings e in line with the file after a transaction that has come to err.
func (e *sharedEnds) settle(err error) {
	if e.more && err != nil {
		e.mu.Lock()
		clear(e.ends)
		e.mu.Unlock()
		e.walked = false
	}
	e.more = false
}

// share returns the record of w, of which the end is shared if another entry has the
// same one. What is new goes into bucket. The caller has the turn.
func (b *Bolt) share(bucket *bolt.Bucket, r *reader, w *write) record {
	rec, e := w.record, &b.shared
	end := rec.value[w.shared:]
	if len(end) < minShared || len(end) > maxShared {
		return rec
	}
	id, entries := idOf(end), b.state.entries
	known, ok, err := e.get(r, entries, id)
	if err != nil {
		return rec
	}
	if !ok {
		if first, seen := e.seen[id]; !seen || first == string(w.key) {
			if e.seen == nil || len(e.seen) >= maxSeen {
				e.seen = make(map[sharedID]string)
			}
			e.seen[id] = string(w.key)
			return rec
		}
		if !e.hasRoom(r, b.state, end) {
			return rec
		}
		known = bytes.Clone(end)
		r.reset(b.state)
		if _, err := r.find(entries, id.key(), toPut); err != nil {
			return rec
		}
		if bucket.Put(id.key(), record{expires: never(), value: known}.encode(id.key())) != nil {
			return rec
		}
		// Readers see it before they can see an entry that needs it.
		e.put(id, known)
		e.room -= len(known)
		e.more = true
	}
	if bytes.Equal(known, end) {
		rec.value, rec.shared, rec.isShared = rec.value[:w.shared:w.shared], id, true
	}
	return rec
}

// key is what an end is kept under.
func (id sharedID) key() []byte { return append([]byte(sharedPrefix), id[:]...) }

// never is when the records expire that are the store's own.
func never() time.Time { return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) }

func idOf(end []byte) (id sharedID) {
	sum := sha256.Sum256(end)
	copy(id[:], sum[:])
	return id
}
