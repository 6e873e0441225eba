package cache

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// A record is what a Bolt holds under a key: the value, behind what the store
// itself has to know about it. Times differ little, so they are numbers of
// variable size.
//
//	octets  content
//	4       CRC-32C of the key and of all that follows, big-endian
//	varint  fetched: seconds since 1970
//	uvarint          and nanoseconds
//	varint  expires: seconds after fetched
//	varint           and nanoseconds
//	1       0, or 1 if the value goes on in what is shared
//	8       then: the sharedID of that
//	rest    the value, or its beginning
//
// The key is part of the checksum, so that a value which damage has put under
// another key is not taken for that key's. What is shared has its own checksum,
// and an identity that no other octets have.
type record struct {
	fetched, expires time.Time
	value            []byte // aliases the encoded record
	shared           sharedID
}

const (
	crcSize   = 4
	maxHeader = crcSize + 4*binary.MaxVarintLen64 + 1 + len(sharedID{})
)

var errRecord = errors.New("its checksum does not match")

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (rec record) encode(key []byte) []byte {
	b := make([]byte, crcSize, maxHeader+len(rec.value))
	// Not UnixNano, which ends in 2262 and is undefined for the zero time.
	f, e := rec.fetched, rec.expires
	b = binary.AppendVarint(b, f.Unix())
	b = binary.AppendUvarint(b, uint64(f.Nanosecond()))
	b = binary.AppendVarint(b, e.Unix()-f.Unix())
	b = binary.AppendVarint(b, int64(e.Nanosecond()-f.Nanosecond()))
	if rec.shared == (sharedID{}) {
		b = append(b, 0)
	} else {
		b = append(append(b, 1), rec.shared[:]...)
	}
	b = append(b, rec.value...)
	binary.BigEndian.PutUint32(b, recordSum(key, b[crcSize:]))
	return b
}

func decodeRecord(key, b []byte) (rec record, err error) {
	if len(b) < crcSize || binary.BigEndian.Uint32(b) != recordSum(key, b[crcSize:]) {
		return record{}, errRecord
	}
	b = b[crcSize:]
	number := func(read func([]byte) (int64, int)) int64 {
		v, n := read(b)
		if n <= 0 {
			err = errRecord // nothing that this program has written
			return 0
		}
		b = b[n:]
		return v
	}
	seconds := number(binary.Varint)
	nanos := number(func(b []byte) (int64, int) { v, n := binary.Uvarint(b); return int64(v), n })
	rec.fetched = time.Unix(seconds, nanos)
	seconds += number(binary.Varint)
	nanos += number(binary.Varint)
	rec.expires = time.Unix(seconds, nanos)
	if err != nil || len(b) == 0 {
		return record{}, errRecord
	}
	isShared := b[0]
	b = b[1:]
	if isShared != 0 {
		if isShared != 1 || len(b) < len(rec.shared) {
			return record{}, errRecord
		}
		b = b[copy(rec.shared[:], b):]
	}
	rec.value = b
	return rec, nil
}

func recordSum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}
