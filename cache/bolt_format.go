package cache

import (
	"errors"
	"fmt"
	"math"
	"os"

	bolt "go.etcd.io/bbolt"
)

// The file has two buckets. The entries lie between two records under keys that no caller
// can use. So an entry that is not found always has neighbours, which show that it is not
// there.
const (
	storeBucket   = "go-mtasts store" // versionKey -> one octet
	entriesBucket = "entries"         // key -> record

	versionKey    = "version"
	formatVersion = 4 // 1 to 3 were never released

	lowKey  = "\x00"
	highKey = "\xff"
)

// inspect checks that the file is a store of a format that this program knows. It reports
// fresh if the file has no bucket yet.
func inspect(tx *bolt.Tx) (fresh bool, err error) {
	info, err := os.Stat(tx.DB().Path())
	if err != nil {
		return false, openError(err)
	}
	if tx.Size() > info.Size() {
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
	case v[0] < formatVersion:
		return false, fmt.Errorf("the store has format version %d, which was never released: move it away to begin with an empty store", v[0])
	case v[0] > formatVersion:
		return false, fmt.Errorf("the store has format version %d, and this program knows version %d: use the program that wrote it, or another file", v[0], formatVersion)
	}
	_, err = entriesOf(tx)
	return false, err
}

// initialize makes a file without buckets a store.
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

func entriesOf(tx *bolt.Tx) (*bolt.Bucket, error) {
	entries := tx.Bucket([]byte(entriesBucket))
	if entries == nil {
		return nil, damagef("it has no bucket %q", entriesBucket)
	}
	return entries, nil
}
