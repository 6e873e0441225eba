package cache

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"

	bolt "go.etcd.io/bbolt"
)

// The file has two buckets. The entries lie between two records under keys that no caller
// can use, so that even an absent entry has two neighbours.
const (
	storeBucket   = "go-mtasts store" // versionKey -> one octet
	entriesBucket = "entries"         // key -> record
	versionKey    = "version"
	formatVersion = 4
	lowKey        = "\x00"
	highKey       = "\xff"
)

// inspect checks that the file is a store of a format that this program knows. It reports
// fresh if the file has no bucket yet.
func inspect(tx *bolt.Tx) (fresh bool, err error) {
	if info, err := os.Stat(tx.DB().Path()); err != nil || tx.Size() > info.Size() {
		return false, damagef("it ends before octet %d", tx.Size())
	}
	about := tx.Bucket([]byte(storeBucket))
	if about == nil {
		if name, _ := tx.Cursor().First(); name != nil {
			return false, errors.New("this is a bbolt file of another program: give the store a file of its own")
		}
		return true, nil
	}
	v := about.Get([]byte(versionKey))
	switch {
	case len(v) != 1 || v[0] == 0:
		return false, damagef("its format version is %+.20q", v)
	case v[0] != formatVersion:
		return false, fmt.Errorf("the store has format version %d, and this program knows version %d: use the program that wrote it, or move it away to begin with an empty store", v[0], formatVersion)
	case entriesOf(tx) == nil:
		return false, damagef("it has no bucket %q", entriesBucket)
	}
	return false, nil
}

// initialize turns a file without buckets into a store.
func initialize(tx *bolt.Tx) error {
	about, err := tx.CreateBucket([]byte(storeBucket))
	if err != nil {
		return err
	}
	entries, err := tx.CreateBucket([]byte(entriesBucket))
	if err != nil {
		return err
	}
	sentinel := record{expires: math.MaxInt64}
	return errors.Join(
		about.Put([]byte(versionKey), []byte{formatVersion}),
		entries.Put([]byte(lowKey), sentinel.encode([]byte(lowKey))),
		entries.Put([]byte(highKey), sentinel.encode([]byte(highKey))))
}

// entriesOf returns the bucket with the records. It is nil in some damaged files.
func entriesOf(tx *bolt.Tx) *bolt.Bucket { return tx.Bucket([]byte(entriesBucket)) }

// find returns the encoded record under key, nil if there is none.
//
// A damaged key misleads a search, but the search ends next to it. So find reports an absent
// key only if both neighbours are sound. This also keeps writes away from damage.
func find(cursor *bolt.Cursor, key []byte) ([]byte, error) {
	right, raw := cursor.Seek(key)
	if raw != nil && bytes.Equal(right, key) {
		return raw, nil
	}
	_, rightErr := decode(right, raw)
	left, raw := cursor.Prev()
	_, leftErr := decode(left, raw)
	if err := cmp.Or(rightErr, leftErr); err != nil {
		return nil, err
	}
	if bytes.Compare(left, key) >= 0 || bytes.Compare(right, key) <= 0 {
		return nil, damagef("the entries beside %q are out of order", key)
	}
	return nil, nil
}

// step moves a cursor and returns the entry there, or a nil key at the end. After an error,
// the next step moves on past what could not be read.
func (b *Bolt) step(move func() (key, raw []byte)) (key []byte, rec record, err error) {
	defer b.contain(&err)
	key, raw := move()
	if key == nil {
		return nil, record{}, nil
	}
	rec, err = decode(key, raw)
	return key, rec, err
}
