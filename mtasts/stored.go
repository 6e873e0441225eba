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
//	1        length of the id; 128 if the clock was set back, 64 if idAhead follows
//	varint   after 128: stamp, nanoseconds after fetched, which it is otherwise
//	varint   after 128: until, nanoseconds after fetched; 0 if there is none
//	varint   after 64: idAhead, nanoseconds after fetched
//	         id
//	         text of the policy file
//
// The domain is under the checksum so that an entry that a damaged index returns
// for another key is not taken for that key's.
const (
	entryVersion = 3
	entrySum     = 1 + 4 // octets in front of what the checksum covers
	hasStamp     = 1 << 7
	hasIDAhead   = 1 << 6
	maxEntryHead = entrySum + 8 + 4*binary.MaxVarintLen64 + 1 + 32
)

var errDamaged = errors.New("the stored entry is damaged or was written by another version")

// encodeEntry is the stored form of p, which was last used at used.
func encodeEntry(p *Policy, used time.Time) []byte {
	b := make([]byte, entrySum, maxEntryHead+len(p.Text))
	b[0] = entryVersion
	fetched, stamp := p.Fetched.UnixNano(), p.stamp.UnixNano()
	b = binary.BigEndian.AppendUint64(b, uint64(fetched))
	b = binary.AppendVarint(b, used.Unix()-p.Fetched.Unix())
	flags := len(b)
	b = append(b, byte(len(p.ID))) // 32 at most (RFC 8461, Section 3.1)
	if stamp != fetched {
		b[flags] |= hasStamp
		b = binary.AppendVarint(b, stamp-fetched)
		b = binary.AppendVarint(b, nanosAfter(p.until, fetched))
	}
	if !p.idAhead.IsZero() {
		b[flags] |= hasIDAhead
		b = binary.AppendVarint(b, nanosAfter(p.idAhead, fetched))
	}
	b = append(b, p.ID...)
	b = append(b, p.Text...)
	binary.BigEndian.PutUint32(b[1:], checksum(p.Domain, b[entrySum:]))
	return b
}

// nanosAfter is t in nanoseconds after fetched, and 0 for the zero time.
func nanosAfter(t time.Time, fetched int64) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano() - fetched
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
	varint := func() (v int64) {
		var n int
		if v, n = binary.Varint(b); n <= 0 {
			err = errDamaged
			return 0
		}
		b = b[n:]
		return v
	}
	use := varint()
	if err != nil || len(b) == 0 {
		return nil, used, errDamaged
	}
	flags := b[0]
	b = b[1:]
	var stamp, until, idAhead int64
	if flags&hasStamp != 0 {
		stamp, until = varint(), varint()
	}
	if flags&hasIDAhead != 0 {
		idAhead = varint()
	}
	idSize := int(flags &^ (hasStamp | hasIDAhead))
	if err != nil || idSize > len(b) {
		return nil, used, errDamaged
	}
	file, err := parse(string(b[idSize:]))
	if err != nil {
		return nil, used, errors.Join(errDamaged, err)
	}
	p = newPolicy(domain, string(b[:idSize]), file, time.Unix(0, fetched))
	p.stamp = time.Unix(0, fetched+stamp)
	if until != 0 {
		p.until = time.Unix(0, fetched+until)
	}
	if flags&hasIDAhead != 0 {
		p.idAhead = time.Unix(0, fetched+idAhead)
	}
	return p, time.Unix(p.Fetched.Unix()+use, 0), nil
}

func checksum(domain string, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(domain), table), table, body)
}
