package cache

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"
)

// A record is what a Bolt holds under a key: the value, behind what the store
// itself has to know about it. Most values are small, so it is kept short.
//
//	octets  content
//	4       CRC-32C of the key and of all that follows, big-endian
//	8       fetched, nanoseconds since 1970, big-endian
//	varint  expires, seconds after fetched, rounded up
//	1       0, or 1 if the value goes on in what is shared
//	3       then: the sharedID of that
//	rest    the value, or its beginning
//
// The key is part of the checksum, so that a value which damage has put under
// another key is not taken for that key's. What is shared has its own checksum.
type record struct {
	fetched, expires time.Time
	value            []byte // aliases the encoded record
	shared           sharedID
	isShared         bool
}

const (
	crcSize   = 4
	maxHeader = crcSize + 8 + binary.MaxVarintLen64 + 1 + len(sharedID{})
)

var errRecord = errors.New("its checksum does not match")

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (rec record) encode(key []byte) []byte {
	b := make([]byte, crcSize, maxHeader+len(rec.value))
	nanos := nanos(rec.fetched)
	f, e := time.Unix(0, nanos), rec.expires
	life := e.Unix() - f.Unix()
	if e.Nanosecond() > f.Nanosecond() {
		life++
	}
	b = binary.BigEndian.AppendUint64(b, uint64(nanos))
	b = binary.AppendVarint(b, life)
	if rec.isShared {
		b = append(append(b, 1), rec.shared[:]...)
	} else {
		b = append(b, 0)
	}
	b = append(b, rec.value...)
	binary.BigEndian.PutUint32(b, recordSum(key, b[crcSize:]))
	return b
}

func decodeRecord(key, b []byte) (rec record, err error) {
	if len(b) < crcSize+8 || binary.BigEndian.Uint32(b) != recordSum(key, b[crcSize:]) {
		return record{}, errRecord
	}
	rec.fetched = time.Unix(0, int64(binary.BigEndian.Uint64(b[crcSize:])))
	b = b[crcSize+8:]
	life, n := binary.Varint(b)
	if n <= 0 || len(b) == n {
		return record{}, errRecord // nothing that this program has written
	}
	rec.expires = time.Unix(rec.fetched.Unix()+life, int64(rec.fetched.Nanosecond()))
	isShared := b[n]
	b = b[n+1:]
	if isShared != 0 {
		if isShared != 1 || len(b) < len(rec.shared) {
			return record{}, errRecord
		}
		rec.isShared = true
		b = b[copy(rec.shared[:], b):]
	}
	rec.value = b
	return rec, nil
}

// after reports whether rec was fetched later than other, as far as records can tell.
func (rec record) after(other record) bool { return nanos(rec.fetched) > nanos(other.fetched) }

// outranks reports whether rec, which is stored, is to stay in spite of a write: it was
// fetched later and has not expired. What has expired counts as absent, or a value that
// was stored while the clock was ahead would keep out each later one.
func (rec record) outranks(w record) bool {
	return rec.after(w) && !time.Now().After(rec.expires)
}

// nanos is t in nanoseconds since 1970: from 1677 to 2262, and beyond that as if it
// were the first or the last of these instants.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func recordSum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}
