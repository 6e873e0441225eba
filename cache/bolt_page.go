package cache

import (
	"bytes"
	"encoding/binary"
	"sort"
)

// The pages of a bbolt file, as bbolt writes them: its format 2, unchanged
// since 2013. All numbers are in the byte order of the machine.
//
// bbolt writes the file, this package reads it. bbolt believes its file: where
// it follows a flipped bit it reads past the end of a page, walks in circles
// until the stack overflows, which ends the process and cannot be recovered
// from, or does not find what is there. The last is the worst: a policy that is
// not found is a domain without protection. And it reads through a mapping, in
// which a sector that the disk cannot read, or a file that someone has cut
// short, is a fault and not an error.
//
// Its pages have no checksum, but what it writes is redundant, and that can be
// checked: a page names itself, its elements lie one behind the other without
// a gap and fill as many pages as it says, and its first key is the one by which
// the page above refers to it. Below that, each record has its own checksum.
const (
	pageHeader  = 16 // number (8), flags (2), number of elements (2), further pages (4)
	elementSize = 16

	branchPage   = 0x01 // an element: offset of the key (4), its size (4), number of the page below (8)
	leafPage     = 0x02 // an element: flags (4), offset of key and value (4), their sizes (4, 4)
	freelistPage = 0x10 // an element: the number of a free page (8)

	bucketFlag   = 0x01 // on an element of a leaf: the value is a bucket
	bucketHeader = 16   // number of its root page (8), sequence (8); if the number is 0, a small page follows
)

// A node is a branch or a leaf whose elements have been checked: all keys and
// values are within data.
type node struct {
	id       uint64 // of its page; 0 for a page inside a bucket
	data     []byte
	leaf     bool
	count    int
	prefixes []uint64 // of the keys, if it is held
}

// parseNode checks the page at the beginning of data and returns also how much
// of data it fills.
func parseNode(data []byte) (n node, size int, err error) {
	ne := binary.NativeEndian
	if len(data) < pageHeader {
		return node{}, 0, damage("a page is cut off")
	}
	n.id, n.count = ne.Uint64(data), int(ne.Uint16(data[10:]))
	switch flags := ne.Uint16(data[8:]); {
	case flags == leafPage:
		n.leaf = true
	case flags != branchPage:
		return node{}, 0, damagef("a page has the unknown kind %#x", flags)
	case n.count == 0:
		return node{}, 0, damage("a branch has no elements")
	}

	table := pageHeader + n.count*elementSize
	if table > len(data) {
		return node{}, 0, damage("a page has too many elements")
	}
	end := uint64(table)
	for i := pageHeader; i < table; i += elementSize {
		e := data[i : i+elementSize : i+elementSize]
		offset, keySize, valueSize := ne.Uint32(e), ne.Uint32(e[4:]), uint32(0)
		if n.leaf {
			offset, keySize, valueSize = ne.Uint32(e[4:]), ne.Uint32(e[8:]), ne.Uint32(e[12:])
		}
		if uint64(i)+uint64(offset) != end || keySize == 0 {
			return node{}, 0, damage("the elements of a page do not follow each other")
		}
		end += uint64(keySize) + uint64(valueSize)
	}
	if end > uint64(len(data)) {
		return node{}, 0, damage("the elements of a page do not fit in it")
	}
	// An empty leaf has nothing to be checked by, and one whose number of
	// elements was lost looks like one, except that something follows.
	if n.count == 0 && len(bytes.Trim(data[pageHeader:min(len(data), pageHeader+elementSize)], "\x00")) > 0 {
		return node{}, 0, damage("an empty page is not empty")
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
	first, end := 0, n.count
	if n.isHeld() {
		// The keys before those with the same prefix are less, and those behind are greater.
		// To look at each of some fifty is faster than to choose among them: the processor
		// reads ahead, and guesses wrong but once.
		p := prefix(key)
		for first < end && n.prefixes[first] < p {
			first++
		}
		end = first
		for end < n.count && n.prefixes[end] == p {
			end++
		}
	}
	i, found = sort.Find(end-first, func(i int) int { return bytes.Compare(key, n.key(first+i)) })
	return first + i, found
}

// inOrder reports whether each key is less than the next, and the last one less
// than bound.
func (n node) inOrder(bound []byte) bool {
	for i := range n.count {
		next := n.bound(i, bound)
		if next != nil && bytes.Compare(n.key(i), next) >= 0 {
			return false
		}
	}
	return true
}

// bound returns what the keys below the element i of a branch are less than,
// given what all its keys are less than. A nil bound is none.
func (n node) bound(i int, bound []byte) []byte {
	if i+1 < n.count {
		return n.key(i + 1)
	}
	return bound
}
