package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
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

// PutShared is [Bolt.Put] for a value whose octets from the index shared on may well
// be those of other values too: if they are short, the store keeps them once.
func (b *Bolt) PutShared(ctx context.Context, key string, value []byte, shared int, fetched, expires time.Time) error {
	if err := errors.Join(ctx.Err(), checkKey(key), checkValue(value)); err != nil {
		return err
	}
	return b.wrap(b.write(ctx, &write{
		key:    []byte(key),
		record: record{fetched: fetched, expires: expires, value: bytes.Clone(value)},
		shared: shared,
	}))
}

// sharedEnds is what is shared, in memory.
type sharedEnds struct {
	mu   sync.RWMutex
	ends map[sharedID][]byte
	size int
	full bool // or nobody knows what there is
	more bool // than the file may have, if the transaction under way fails

	seen map[sharedID]string // candidates, and the key of the first entry with it
}

// load reads what the file has. What is damaged is missed by those who need it.
func (e *sharedEnds) load(r *reader, s *state) {
	ends, size := make(map[sharedID][]byte), 0
	if e.seen == nil {
		e.seen = make(map[sharedID]string)
	}
	walk := scan{from: sharedPrefix, until: firstKey, limit: maxAllShared / minShared, shared: e}
	for walk.from < walk.until && len(walk.keys) < walk.limit {
		r.reset(s.meta)
		walk.leaf(r, s.entries)
	}
	for i, key := range walk.keys {
		if id := (sharedID{}); len(key) == len(sharedPrefix)+copy(id[:], key[len(sharedPrefix):]) {
			ends[id] = walk.values[i]
			size += len(walk.values[i])
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ends, e.size, e.full = ends, size, walk.err != nil
}

// settle brings e in line with the file after a transaction that has come to err.
func (e *sharedEnds) settle(err error, r *reader, s *state) {
	if e.more && err != nil {
		e.load(r, s)
	}
	e.more = false
}

func (e *sharedEnds) get(id sharedID) ([]byte, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	end, ok := e.ends[id]
	return end, ok
}

// value returns a copy of the whole value of rec, which is under key.
func (e *sharedEnds) value(key []byte, rec record) ([]byte, error) {
	if !rec.isShared {
		return bytes.Clone(rec.value), nil
	}
	end, ok := e.get(rec.shared)
	if !ok {
		return nil, damagef("what the entry %+.80q shares with others is missing", key)
	}
	value := make([]byte, 0, len(rec.value)+len(end))
	return append(append(value, rec.value...), end...), nil
}

// share returns the record of w, of which the end is shared if another entry has the
// same one. What is new goes into bucket. The caller has the turn.
func (b *Bolt) share(bucket *bolt.Bucket, r *reader, w *write) record {
	rec, e := w.record, &b.shared
	end := rec.value[w.shared:]
	if len(end) < minShared || len(end) > maxShared {
		return rec
	}
	id := idOf(end)
	known, ok := e.get(id)
	if !ok {
		first, seen := e.seen[id]
		if !seen || first == string(w.key) {
			if len(e.seen) >= maxSeen {
				clear(e.seen)
			}
			e.seen[id] = string(w.key)
			return rec
		}
		known = bytes.Clone(end)
		key := append([]byte(sharedPrefix), id[:]...)
		if e.full || e.size+len(end) > maxAllShared {
			return rec
		}
		r.reset(b.state.meta)
		if _, err := r.find(b.state.entries, key, toPut); err != nil {
			return rec
		}
		if bucket.Put(key, record{expires: never(), value: known}.encode(key)) != nil {
			return rec
		}
		// Readers see it before they can see an entry that needs it.
		e.mu.Lock()
		e.ends[id] = known
		e.size += len(known)
		e.more = true
		e.mu.Unlock()
	}
	if bytes.Equal(known, end) {
		rec.value, rec.shared, rec.isShared = rec.value[:w.shared:w.shared], id, true
	}
	return rec
}

// never is when the records expire that are the store's own.
func never() time.Time { return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) }

func idOf(end []byte) (id sharedID) {
	sum := sha256.Sum256(end)
	copy(id[:], sum[:])
	return id
}
