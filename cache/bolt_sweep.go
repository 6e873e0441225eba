package cache

import (
	"bytes"
	"time"

	bolt "go.etcd.io/bbolt"
)

// writesPerLeaf is how many writes pay for looking at one more leaf. A leaf of
// ordinary policies holds several, so that the sweep looks at more entries than
// are written, and expired ones stay a fraction of the store.
const writesPerLeaf = 4

// sweep drops expired entries in the transaction of bucket. It goes on where the
// last sweep ended and looks at a number of leaves that depends on the number of
// writes beside it, so that it costs no transaction of its own and no writer
// waits for a walk through the whole store.
//
// It is done here rather than by whoever uses the store because only here is
// nobody between the look at an entry and its removal: between a Scan and
// a Delete from outside, a Put could have made the same value last longer.
func (b *Bolt) sweep(bucket *bolt.Bucket, r *reader, writes int, now time.Time) error {
	expired := func(key, raw []byte) bool {
		rec, err := decodeRecord(key, raw)
		return err == nil && now.After(rec.expires)
	}
	for range 1 + writes/writesPerLeaf {
		r.reset(b.state.meta)
		p, err := r.find(b.state.entries, b.swept, toRemove)
		count := p.leaf.count
		if err != nil {
			// Damage is reported to those who ask for what is damaged.
			count = 0
		}
		for i := range count {
			key := p.leaf.key(i)
			raw, _ := p.leaf.value(i)
			// Look again in the transaction: the key may just have been written.
			if !expired(key, raw) || !expired(key, bucket.Get(key)) {
				continue
			}
			if err := bucket.Delete(key); err != nil {
				return err
			}
		}
		if bytes.Compare(p.next, b.swept) <= 0 { // the end, or damage
			b.swept = []byte(lowKey)
			break
		}
		b.swept = bytes.Clone(p.next)
	}
	return nil
}
