package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"sort"
)

// The pages of a bbolt file, as bbolt writes them: its format 2, unchanged
// since 2013. All numbers are in the byte order of the machine.
//
// This package reads them itself because bbolt believes its file. Its pages
// have no checksum, and where it follows a flipped bit it reads past the end of
// a page, walks in circles until the stack overflows, which kills the process
// and cannot be recovered from, or does not find what is there. The last is the
// worst: a policy that is not found is a domain without protection. But what
// bbolt writes is redundant, and the functions below check that redundancy:
// a page names itself, its elements lie one behind the other without a gap and
// fill as many pages as it says, and its first key is the one by which the page
// above refers to it. Under that, each record has its own checksum.
const (
	pageHeader  = 16 // number (8), flags (2), number of elements (2), further pages (4)
	elementSize = 16

	branchPage   = 0x01 // an element: offset of the key (4), its size (4), number of the page below (8)
	leafPage     = 0x02 // an element: flags (4), offset of key and value (4), their sizes (4, 4)
	freelistPage = 0x10 // an element: the number of a free page (8)

	bucketFlag   = 0x01 // on an element of a leaf: the value is a bucket
	bucketHeader = 16   // number of its root page (8), sequence (8); if the number is 0, a small page follows

	metaSize     = pageHeader + 64
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	firstPage    = 2 // pages 0 and 1 are the meta pages
	freelistMany = 0xFFFF
)

// A damage is what is wrong with a file.
type damage string

func (d damage) Error() string { return "the file is damaged: " + string(d) }

const errOrder damage = "the keys of a page are not in order"

func damagef(format string, args ...any) error { return damage(fmt.Sprintf(format, args...)) }

// A meta is the root of everything: bbolt writes page 0 and page 1 in turn, and
// the one with the higher transaction number counts.
type meta struct {
	pageSize uint32
	root     uint64 // page of the bucket that holds the buckets
	freelist uint64 // page of the list of free pages
	pages    uint64 // all pages in use have smaller numbers
	txid     uint64
}

// parseMeta reads a meta page, of which b is the beginning.
func parseMeta(b []byte) (meta, error) {
	ne := binary.NativeEndian
	b = b[pageHeader:metaSize]
	if ne.Uint32(b) != metaMagic || ne.Uint32(b[4:]) != metaVersion {
		return meta{}, damage("a meta page is not one of bbolt, format 2")
	}
	sum := fnv.New64a()
	sum.Write(b[:56])
	if ne.Uint64(b[56:]) != sum.Sum64() {
		return meta{}, damage("the checksum of a meta page does not match")
	}
	return meta{
		pageSize: ne.Uint32(b[8:]),
		root:     ne.Uint64(b[16:]),
		freelist: ne.Uint64(b[32:]),
		pages:    ne.Uint64(b[40:]),
		txid:     ne.Uint64(b[48:]),
	}, nil
}

// A node is a branch or a leaf whose elements have been checked: all keys and
// values are within data.
type node struct {
	data  []byte
	leaf  bool
	count int
}

// parseNode checks the page at the beginning of data and returns also how much
// of data it fills.
func parseNode(data []byte) (n node, size int, err error) {
	ne := binary.NativeEndian
	if len(data) < pageHeader {
		return n, 0, damage("a page is cut off")
	}
	n.count = int(ne.Uint16(data[10:]))
	switch flags := ne.Uint16(data[8:]); {
	case flags == leafPage:
		n.leaf = true
	case flags != branchPage:
		return n, 0, damagef("a page has the unknown kind %#x", flags)
	case n.count == 0:
		return n, 0, damage("a branch has no elements")
	}

	table := pageHeader + n.count*elementSize
	if table > len(data) {
		return n, 0, damage("a page has too many elements")
	}
	end := uint64(table)
	for i := pageHeader; i < table; i += elementSize {
		e := data[i : i+elementSize : i+elementSize]
		offset, keySize, valueSize := ne.Uint32(e), ne.Uint32(e[4:]), uint32(0)
		if n.leaf {
			offset, keySize, valueSize = ne.Uint32(e[4:]), ne.Uint32(e[8:]), ne.Uint32(e[12:])
		}
		if uint64(i)+uint64(offset) != end || keySize == 0 {
			return n, 0, damage("the elements of a page do not follow each other")
		}
		end += uint64(keySize) + uint64(valueSize)
	}
	if end > uint64(len(data)) {
		return n, 0, damage("the elements of a page do not fit in it")
	}
	// An empty leaf has nothing to be checked by, and one whose number of
	// elements was lost looks like one, except that something follows.
	if n.count == 0 && len(bytes.Trim(data[pageHeader:min(len(data), pageHeader+elementSize)], "\x00")) > 0 {
		return n, 0, damage("an empty page is not empty")
	}
	n.data = data[:end]
	return n, int(end), nil
}

func (n node) key(i int) []byte {
	e := pageHeader + i*elementSize
	ne := binary.NativeEndian
	offset, size := ne.Uint32(n.data[e:]), ne.Uint32(n.data[e+4:])
	if n.leaf {
		offset, size = ne.Uint32(n.data[e+4:]), ne.Uint32(n.data[e+8:])
	}
	return n.data[e+int(offset):][:size:size]
}

// value returns what a leaf holds under its key i, and whether that is a bucket.
func (n node) value(i int) (value []byte, isBucket bool) {
	e := pageHeader + i*elementSize
	ne := binary.NativeEndian
	flags, offset := ne.Uint32(n.data[e:]), ne.Uint32(n.data[e+4:])
	keySize, size := ne.Uint32(n.data[e+8:]), ne.Uint32(n.data[e+12:])
	return n.data[e+int(offset)+int(keySize):][:size:size], flags&bucketFlag != 0
}

// record returns the checked record that a leaf holds under its key i.
func (n node) record(i int) (record, error) {
	value, isBucket := n.value(i)
	if r, err := decodeRecord(n.key(i), value); err == nil && !isBucket {
		return r, nil
	}
	return record{}, damagef("the checksum of the entry %+.80q does not match", n.key(i))
}

// child returns the number of the page below the element i of a branch.
func (n node) child(i int) uint64 {
	return binary.NativeEndian.Uint64(n.data[pageHeader+i*elementSize+8:])
}

// search returns the place of the first key that is not less than key, and
// whether it is key.
func (n node) search(key []byte) (i int, found bool) {
	return sort.Find(n.count, func(i int) int { return bytes.Compare(key, n.key(i)) })
}

// inOrder reports whether each key is less than the next, and the last one less
// than bound unless that is nil.
func (n node) inOrder(bound []byte) bool {
	for i := range n.count {
		next := bound
		if i+1 < n.count {
			next = n.key(i + 1)
		}
		if next != nil && bytes.Compare(n.key(i), next) >= 0 {
			return false
		}
	}
	return true
}
