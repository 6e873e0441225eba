package mtasts

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"time"
)

// What a store holds for a domain:
//
//	1  version of this layout
//	4  CRC-32C of the domain and of all that follows
//	1  mode, an index of modes
//	8  Policy.Fetched
//	8  Policy.Expires
//	8  Policy.stamp
//	8  Policy.until
//	8  Policy.idAhead
//	8  last use
//	1  length of the id
//	   id
//	   text of the policy file
//
// Numbers are big-endian, and times are nanoseconds since 1970, 0 for the zero time.
//
// Run walks through millions of entries and needs only what is in front of the id. The mode
// must agree with the text, which is parsed where the policy is applied.
//
// The checksum covers the domain, so that damage moves no entry to another domain.
const (
	entryVersion = 4
	entrySum     = 1 + 4 // octets in front of what the checksum covers
	entryHead    = entrySum + 1 + 6*8
)

// modes are the modes by how much they protect.
var modes = [...]Mode{ModeNone, ModeTesting, ModeEnforce}

var (
	errDamaged = errors.New("the stored entry is damaged or was written by another version")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// encodeEntry returns the stored form of p, which was last used at used.
func encodeEntry(p *Policy, used time.Time) []byte {
	b := make([]byte, entrySum, entryHead+1+len(p.ID)+len(p.Text))
	b[0] = entryVersion
	b = append(b, byte(slices.Index(modes[:], p.Mode)))
	for _, t := range []time.Time{p.Fetched, p.Expires, p.stamp, p.until, p.idAhead, used} {
		var nanos int64
		if !t.IsZero() {
			nanos = t.UnixNano()
		}
		b = binary.BigEndian.AppendUint64(b, uint64(nanos))
	}
	b = append(b, byte(len(p.ID))) // 32 at most (RFC 8461, Section 3.1)
	b = append(b, p.ID...)
	b = append(b, p.Text...)
	binary.BigEndian.PutUint32(b[1:], entryChecksum(p.Domain, b))
	return b
}

// decodeHead returns what is in front of the id of a stored entry: the policy without ID, MX
// and Text, and its last use. The error is errDamaged.
func decodeHead(domain string, b []byte) (head Policy, used time.Time, err error) {
	if len(b) <= entryHead || b[0] != entryVersion || binary.BigEndian.Uint32(b[1:]) != entryChecksum(domain, b) ||
		int(b[entrySum]) >= len(modes) {
		return head, used, errDamaged
	}
	head.Domain, head.Mode = domain, modes[b[entrySum]]
	for i, t := range []*time.Time{&head.Fetched, &head.Expires, &head.stamp, &head.until, &head.idAhead, &used} {
		if nanos := int64(binary.BigEndian.Uint64(b[entrySum+1+8*i:])); nanos != 0 {
			*t = time.Unix(0, nanos).UTC()
		}
	}
	return head, used, nil
}

// decodeEntry returns the policy in a stored entry, valid or expired, and its last use. parse
// is [parseFile], or has the same result and keeps the file in memory. The error wraps
// errDamaged.
func decodeEntry(domain string, b []byte, parse func(text string) (*policyFile, error)) (p *Policy, used time.Time, err error) {
	head, used, err := decodeHead(domain, b)
	if err != nil {
		return nil, used, err
	}
	idSize, b := int(b[entryHead]), b[entryHead+1:]
	if idSize > len(b) {
		return nil, used, errDamaged
	}
	file, err := parse(string(b[idSize:]))
	if err != nil {
		return nil, used, errors.Join(errDamaged, err)
	}
	p = newPolicy(domain, string(b[:idSize]), file, head.Fetched)
	if p.Mode != head.Mode {
		return nil, used, errDamaged
	}
	p.Expires, p.stamp, p.until, p.idAhead = head.Expires, head.stamp, head.until, head.idAhead
	return p, used, nil
}

func entryChecksum(domain string, b []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(domain), castagnoli), castagnoli, b[entrySum:])
}
