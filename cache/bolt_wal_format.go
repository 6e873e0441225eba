package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// load reads the log and finds out where it goes on.
func (l *wal) load() (writes []*write, err error) {
	data, err := io.ReadAll(io.LimitReader(l.file, walSize+1))
	if err != nil {
		return nil, err
	}
	head := data[:min(walHeader, len(data))]
	sum := head[max(0, len(head)-crcSize):]
	rest, ok := bytes.CutPrefix(head, []byte(walMagic))
	if !ok || len(data) != walSize || binary.BigEndian.Uint32(sum) != crc32.Checksum(head[:len(head)-crcSize], castagnoli) {
		return nil, damage("this is not a log, or not the whole of it")
	}
	if !bytes.HasPrefix(rest, l.id[:]) {
		return nil, errors.New("it belongs to another store")
	}
	copy(l.nonce[:], rest[len(l.id):])
	for l.end = sector; l.end < len(data); {
		number, body, ok := parseGroup(data[l.end:], l.nonce)
		if !ok || number != l.number {
			break
		}
		l.number++
		l.end += roundUp(groupHeader + len(body))
		for len(body) > 0 {
			var w *write
			if w, body, err = parseWrite(body); err != nil {
				return nil, err
			}
			writes = append(writes, w)
		}
	}
	for i := l.end; i < len(data); i += sector {
		if _, _, ok := parseGroup(data[i:], l.nonce); ok {
			return nil, damagef("the group at octet %d cannot be read", l.end)
		}
	}
	return writes, nil
}

// roundUp returns where the next sector begins.
func roundUp(n int) int { return (n + sector - 1) &^ (sector - 1) }

// appendGroup appends a group to b, which ends with a sector; seal completes it.
func appendGroup(b []byte, group []*write) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, groupHeader)...)
	for _, w := range group {
		if b = appendWrite(b, w); len(b)-start > walSize-sector {
			return nil, errNoRoom
		}
	}
	binary.BigEndian.PutUint32(b[start+crcSize:], uint32(len(b)-start-groupHeader))
	return append(b, make([]byte, roundUp(len(b))-len(b))...), nil
}

// seal makes b, which appendGroup has made, the next group.
func (l *wal) seal(b []byte) {
	be := binary.BigEndian
	be.PutUint32(b[8:], l.number)
	copy(b[12:], l.nonce[:])
	be.PutUint32(b, crc32.Checksum(b[crcSize:groupHeader+int(be.Uint32(b[crcSize:]))], castagnoli))
}

// parseGroup returns the group that data begins with.
func parseGroup(data []byte, nonce [8]byte) (number uint32, body []byte, ok bool) {
	be := binary.BigEndian
	if len(data) < groupHeader || !bytes.Equal(data[12:groupHeader], nonce[:]) {
		return 0, nil, false
	}
	size := int64(be.Uint32(data[4:])) + groupHeader
	if size > int64(len(data)) || be.Uint32(data) != crc32.Checksum(data[crcSize:size], castagnoli) {
		return 0, nil, false
	}
	return be.Uint32(data[8:]), data[groupHeader:size], true
}

// appendWrite appends a Put to b.
//
//	octets  content
//	varint  octets of the key
//	varint  where the part of the value begins that others may have too
//	varint  octets of the record
//	rest    the key and the record
func appendWrite(b []byte, w *write) []byte {
	record := w.record.encode(w.key)
	for _, n := range [...]int{len(w.key), w.shared, len(record)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return append(append(b, w.key...), record...)
}

// parseWrite returns the write that b begins with.
func parseWrite(b []byte) (w *write, rest []byte, err error) {
	var n [3]uint64
	for i := range n {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, nil, errWrite
		}
		n[i], b = v, b[size:]
	}
	if n[0] > maxKey || n[2] > uint64(maxHeader+maxValue) || n[0]+n[2] > uint64(len(b)) {
		return nil, nil, errWrite
	}
	key, raw := b[:n[0]], b[n[0]:n[0]+n[2]]
	rec, err := decodeRecord(key, raw)
	if err != nil || rec.isShared || n[1] > uint64(len(rec.value)) || checkKey(string(key)) != nil {
		return nil, nil, errWrite
	}
	return &write{key: key, record: rec, shared: int(n[1])}, b[n[0]+n[2]:], nil
}

const errWrite damage = "a group has something in it that no program of ours has written"
