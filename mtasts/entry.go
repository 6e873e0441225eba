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
//	1        version of this layout
//	4        CRC-32C of the domain and of all that follows, big-endian
//	8        fetched, nanoseconds since 1970, big-endian
//	varint   last use, seconds after fetched
//	1        length of the id; and 128 if a stamp follows, which else is fetched
//	varint   then: stamp, nanoseconds after fetched
//	         id
//	         text of the policy file
//
// The domain is under the checksum so that an entry that a damaged index returns
// for another key is not taken for that key's. The text is at the end, where a store
// can tell that many entries have the same.
const (
	entryVersion = 2
	entrySum     = 1 + 4 // octets in front of what the checksum covers
	hasStamp     = 1 << 7
	maxEntryHead = entrySum + 8 + 2*binary.MaxVarintLen64 + 1 + 32
)

var errDamaged = errors.New("the stored entry is damaged or was written by another version")

// encodeEntry is the stored form of p, which was last used at used, and the index at
// which its text begins.
func encodeEntry(p *Policy, used time.Time) (entry []byte, text int) {
	b := make([]byte, entrySum, maxEntryHead+len(p.Text))
	b[0] = entryVersion
	fetched, stamp := p.Fetched.UnixNano(), p.stamp.UnixNano()
	b = binary.BigEndian.AppendUint64(b, uint64(fetched))
	b = binary.AppendVarint(b, used.Unix()-p.Fetched.Unix())
	id := byte(len(p.ID)) // 32 at most (RFC 8461, Section 3.1)
	if stamp == fetched {
		b = append(b, id)
	} else {
		b = binary.AppendVarint(append(b, id|hasStamp), stamp-fetched)
	}
	b = append(b, p.ID...)
	text = len(b)
	b = append(b, p.Text...)
	binary.BigEndian.PutUint32(b[1:], checksum(p.Domain, b[entrySum:]))
	return b, text
}

// decodeEntry returns the policy in a stored entry, valid or expired, and its last
// use. parse is [parseFile], or has the same outcome and keeps the file in memory. The
// error wraps errDamaged.
func decodeEntry(domain string, b []byte, parse func(text string) (*policyFile, error)) (p *Policy, used time.Time, err error) {
	if len(b) < entrySum+8 || b[0] != entryVersion || binary.BigEndian.Uint32(b[1:]) != checksum(domain, b[entrySum:]) {
		return nil, used, errDamaged
	}
	b = b[entrySum:]
	fetched := int64(binary.BigEndian.Uint64(b))
	b = b[8:]
	use, n := binary.Varint(b)
	if n <= 0 || len(b) == n {
		return nil, used, errDamaged
	}
	idSize := int(b[n] &^ hasStamp)
	stamp, m := int64(0), 0
	if b[n]&hasStamp != 0 {
		if stamp, m = binary.Varint(b[n+1:]); m <= 0 {
			return nil, used, errDamaged
		}
	}
	if b = b[n+1+m:]; idSize > len(b) {
		return nil, used, errDamaged
	}
	file, err := parse(string(b[idSize:]))
	if err != nil {
		return nil, used, errors.Join(errDamaged, err)
	}
	p = newPolicy(domain, string(b[:idSize]), file, time.Unix(0, fetched))
	p.stamp = time.Unix(0, fetched+stamp)
	return p, time.Unix(p.Fetched.Unix()+use, 0), nil
}

func checksum(domain string, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(domain), table), table, body)
}
