package mtasts

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// What a store holds for a domain. The text of the policy file is the only truth
// about its contents: mode, patterns and life are read from it again each time,
// so that they cannot come to differ from what a report quotes.
//
//	1  version of this layout
//	8  fetched, nanoseconds since 1970, big-endian
//	8  stamp, likewise
//	8  last use, seconds since 1970, likewise
//	1  length of the id
//	   id
//	   text of the policy file
//	4  CRC-32C of the domain and all of the above
//
// The domain is under the checksum so that an entry that a damaged index returns
// for another key is not taken for that key's.
const (
	entryVersion = 1
	entryHead    = 1 + 8 + 8 + 8 + 1
	entrySum     = 4
)

var errDamaged = errors.New("the stored entry is damaged or was written by a newer version")

// encodeEntry is the stored form of p, which was last used at used.
func encodeEntry(p *Policy, used time.Time) []byte {
	b := make([]byte, 0, entryHead+len(p.ID)+len(p.Text)+entrySum)
	b = append(b, entryVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Fetched.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(p.stamp.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(used.Unix()))
	b = append(b, byte(len(p.ID))) // 32 at most (RFC 8461, Section 3.1)
	b = append(b, p.ID...)
	b = append(b, p.Text...)
	return binary.BigEndian.AppendUint32(b, checksum(p.Domain, b))
}

// decodeEntry returns the policy in a stored entry, valid or expired, and its last
// use. The error wraps errDamaged.
func decodeEntry(domain string, b []byte) (p *Policy, used time.Time, err error) {
	if len(b) < entryHead+entrySum || b[0] != entryVersion {
		return nil, used, errDamaged
	}
	body, sum := b[:len(b)-entrySum], b[len(b)-entrySum:]
	idEnd := entryHead + int(body[entryHead-1])
	if binary.BigEndian.Uint32(sum) != checksum(domain, body) || idEnd > len(body) {
		return nil, used, errDamaged
	}
	fetched := time.Unix(0, int64(binary.BigEndian.Uint64(body[1:])))
	p, err = newPolicy(domain, string(body[entryHead:idEnd]), string(body[idEnd:]), fetched)
	if err != nil {
		return nil, used, errors.Join(errDamaged, err)
	}
	p.stamp = time.Unix(0, int64(binary.BigEndian.Uint64(body[9:])))
	return p, time.Unix(int64(binary.BigEndian.Uint64(body[17:])), 0), nil
}

func checksum(domain string, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(domain), table), table, body)
}
