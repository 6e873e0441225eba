package cache

import (
	"bytes"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	// entriesPerWrite is how many entries a write pays for looking at: more than
	// are written, so that expired ones stay a fraction of the store.
	entriesPerWrite = 4

	// leafCost is what looking at a leaf costs at least, in entries.
	leafCost = 4
)

// sweep drops expired entries in the transaction of bucket. It goes on where the
// last sweep ended and looks at as many entries as the writes since have paid for, so
// that it costs no transaction of its own and no writer waits for a walk through the
// whole store.
//
// It is done here rather than by whoever uses the store because only here is
// nobody between the look at an entry and its removal: between a Scan and
// a Delete from outside, a Put could have made the same value last longer.
func (b *Bolt) sweep(bucket *bolt.Bucket, r *reader, now time.Time) error {
	expired := func(key, raw []byte) bool {
		rec, err := decodeRecord(key, raw)
		return err == nil && now.After(rec.expires)
	}
	for b.due > 0 {
		r.reset(b.state)
		p, err := r.find(b.state.entries, b.swept, toRead)
		count := p.leaf.count
		if err != nil {
			// Damage is reported to those who ask for what is damaged.
			count = 0
		}
		b.due -= max(count, leafCost)
		var keys [][]byte
		for i := range count {
			key := p.leaf.key(i)
			if raw, _ := p.leaf.value(i); expired(key, raw) {
				keys = append(keys, key)
			}
		}
		if len(keys) > 0 {
			_, err = r.find(b.state.entries, b.swept, toRemove)
		}
		for _, key := range keys {
			// Look again in the transaction: the key may just have been written.
			if err != nil || !expired(key, bucket.Get(key)) {
				continue
			}
			if err := bucket.Delete(key); err != nil {
				return err
			}
		}
		if bytes.Compare(p.next, b.swept) <= 0 { // the end, or damage
			b.swept = []byte(lowKey)
			b.due = min(b.due, 0)
			break
		}
		b.swept = bytes.Clone(p.next)
	}
	return nil
}
