package cache

import (
	"bytes"

	bolt "go.etcd.io/bbolt"
)

// find returns the encoded record under key, nil if there is none.
//
// A damaged key sends a search astray, but only to a place beside the damage. So a miss
// is believed only if both neighbours are sound. For the same reason nothing may be put
// beside a damaged record: it would hide the damage.
func find(cursor *bolt.Cursor, key []byte) ([]byte, error) {
	right, raw := cursor.Seek(key)
	if raw != nil && bytes.Equal(right, key) {
		return raw, nil
	}
	if _, err := decode(right, raw); err != nil {
		return nil, err
	}
	left, raw := cursor.Prev()
	if _, err := decode(left, raw); err != nil {
		return nil, err
	}
	if bytes.Compare(left, key) >= 0 || bytes.Compare(right, key) <= 0 {
		return nil, damagef("the entries beside %q are out of order", key)
	}
	return nil, nil
}

// step moves a cursor and returns the entry there. The key is nil at the end. After an
// error, the next step goes on behind what could not be read.
func step(move func() (key, raw []byte)) (key, value []byte, err error) {
	defer asError(&err)
	key, raw := move()
	if key == nil {
		return nil, nil, nil
	}
	rec, err := decode(key, raw)
	return key, rec.value, err
}
