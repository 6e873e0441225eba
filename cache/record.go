package cache

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// A record is what a Bolt holds under a key: the value, behind what the store
// itself has to know about it. Numbers are big-endian.
//
//	octets  content
//	4       CRC-32C of the key and of all that follows
//	12      fetched: seconds since 1970 (8, signed), nanoseconds (4)
//	12      expires: likewise
//	rest    the value
//
// The key is part of the checksum, so that a value which damage has put under
// another key is not taken for that key's.
type record struct {
	fetched, expires time.Time
	value            []byte // aliases the encoded record
}

const (
	crcSize      = 4
	timeSize     = 12
	recordHeader = crcSize + 2*timeSize
)

var errRecord = errors.New("its checksum does not match")

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeRecord(key string, value []byte, fetched, expires time.Time) []byte {
	b := make([]byte, crcSize, recordHeader+len(value))
	b = appendTime(b, fetched)
	b = appendTime(b, expires)
	b = append(b, value...)
	binary.BigEndian.PutUint32(b, recordSum([]byte(key), b[crcSize:]))
	return b
}

func decodeRecord(key, b []byte) (record, error) {
	if len(b) < recordHeader || binary.BigEndian.Uint32(b) != recordSum(key, b[crcSize:]) {
		return record{}, errRecord
	}
	return record{
		fetched: readTime(b[crcSize:]),
		expires: readTime(b[crcSize+timeSize:]),
		value:   b[recordHeader:],
	}, nil
}

func recordSum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}

// appendTime keeps any time.Time, which UnixNano does not: that ends in 2262
// and is undefined for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func readTime(b []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[8:])))
}
