package cache

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// A record is what a store holds under a key. Its form in a Bolt is:
//
//	4 octets  CRC-32C of the key and of all that follows, big-endian
//	8 octets  fetched, big-endian
//	8 octets  expires, big-endian
//	the rest  the value
//
// The checksum covers the key, so that a value under a wrong key does not match.
type record struct {
	fetched, expires int64 // as nanos returns them
	value            []byte
}

const sumSize, headerSize = 4, 4 + 8 + 8

func (c *Change) record() record { return record{nanos(c.Fetched), nanos(c.Expires), c.Value} }

// change returns the change that sets rec, with a copy of the value.
func (rec record) change(key string) Change {
	return Change{Key: key, Value: bytes.Clone(rec.value), Fetched: time.Unix(0, rec.fetched), Expires: time.Unix(0, rec.expires)}
}

func (rec record) encode(key []byte) []byte {
	b := make([]byte, headerSize, headerSize+len(rec.value))
	binary.BigEndian.PutUint64(b[sumSize:], uint64(rec.fetched))
	binary.BigEndian.PutUint64(b[sumSize+8:], uint64(rec.expires))
	b = append(b, rec.value...)
	binary.BigEndian.PutUint32(b, checksum(key, b[sumSize:]))
	return b
}

// decode returns the record in b. Its value is a part of b.
func decode(key, b []byte) (record, error) {
	if len(b) < headerSize || binary.BigEndian.Uint32(b) != checksum(key, b[sumSize:]) {
		return record{}, damagef("the checksum of %+.80q does not match", key)
	}
	fetched, expires := binary.BigEndian.Uint64(b[sumSize:]), binary.BigEndian.Uint64(b[sumSize+8:])
	return record{int64(fetched), int64(expires), b[headerSize:]}, nil
}

// castagnoli is the polynomial for which processors have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}

// outranks reports whether rec, which the store holds, stays in spite of a change. If it has
// expired, it does not. Otherwise an entry that was written while the clock was ahead would
// keep out every later one.
func (rec record) outranks(change record, now time.Time) bool {
	return rec.fetched > change.fetched && nanos(now) <= rec.expires
}

// nanos returns t in nanoseconds since 1970, or the nearest int64: the range is from 1677 to
// 2262. What expires after 2262 never expires.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}
