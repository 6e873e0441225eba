package cache

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// maxDepth is more levels than any tree has: even four keys to a page make four
// thousand million entries. A walk that goes deeper goes in circles.
const maxDepth = 16

// A tree is the mapped file as one transaction sees it. It is valid, with all
// that is read from it, until the transaction ends.
type tree struct {
	data     []byte // up to the high-water mark
	pageSize int
	root     uint64
}

// treeOf returns the tree of tx. The caller makes sure that the file is at least
// as long as tx.Size.
func treeOf(tx *bolt.Tx) tree {
	info := tx.DB().Info()
	return tree{
		// bbolt hands out the address of its mapping as an integer. The
		// mapping is not memory of Go's, and tx keeps it in place.
		data:     unsafe.Slice(*(**byte)(unsafe.Pointer(&info.Data)), tx.Size()),
		pageSize: info.PageSize,
		root:     uint64(tx.Cursor().Bucket().Root()),
	}
}

func (t tree) pages() uint64 { return uint64(len(t.data) / t.pageSize) }

// page returns page id, checked.
func (t tree) page(id uint64) (node, error) {
	data, err := t.raw(id)
	if err != nil {
		return node{}, err
	}
	n, size, err := parseNode(data)
	if err != nil {
		return node{}, err
	}
	if (size+t.pageSize-1)/t.pageSize*t.pageSize != len(data) {
		return node{}, damagef("page %d is %d octets long and fills %d", id, len(data), size)
	}
	return n, nil
}

// raw returns page id with the pages that continue it.
func (t tree) raw(id uint64) ([]byte, error) {
	if id < firstPage || id >= t.pages() {
		return nil, damagef("there is no page %d", id)
	}
	data := t.data[int(id)*t.pageSize:]
	if self := binary.NativeEndian.Uint64(data); self != id {
		return nil, damagef("page %d says that it is page %d", id, self)
	}
	more := uint64(binary.NativeEndian.Uint32(data[12:]))
	if more >= t.pages()-id {
		return nil, damagef("page %d goes on beyond the end", id)
	}
	return data[:int(more+1)*t.pageSize], nil
}

// child returns the page below the element i of a branch. bbolt keeps that
// element's key equal to the first key of the page below.
func (t tree) child(n node, i int) (node, error) {
	c, err := t.page(n.child(i))
	if err != nil {
		return node{}, err
	}
	if c.count == 0 || !bytes.Equal(c.key(0), n.key(i)) {
		return node{}, damagef("page %d is not the page that belongs in its place", n.child(i))
	}
	return c, nil
}

// A place is where a key is, or would be.
type place struct {
	leaf  node
	index int // of the first key not less than the one looked for; may be leaf.count
	found bool
	next  []byte // the first key of the leaf behind this one; nil if this is the last
}

// A purpose is what a place is looked for. bbolt reads more pages than those on
// the way to a key when it removes it, because it may merge them; and what it
// writes back must not be out of order, or damage to one key would spread.
type purpose int

const (
	toRead   purpose = iota
	toPut            // all keys of the pages on the way are in order
	toRemove         // and so are those of the pages beside them
)

// walk goes down from root to the place of key.
func (t tree) walk(root node, key []byte, why purpose) (place, error) {
	p := place{leaf: root}
	for range maxDepth {
		n := p.leaf
		if why >= toPut && !n.inOrder(p.next) {
			return p, errOrder
		}
		p.index, p.found = n.search(key)
		if n.leaf {
			return p, nil
		}
		i := p.index
		if !p.found {
			i = max(i-1, 0) // the last key that is not greater
		}
		bound := func(i int) []byte {
			if i+1 < n.count {
				return n.key(i + 1)
			}
			return p.next
		}
		for _, j := range [2]int{i - 1, i + 1} {
			if why < toRemove || j < 0 || j >= n.count {
				continue
			}
			if c, err := t.child(n, j); err != nil {
				return p, err
			} else if !c.inOrder(bound(j)) {
				return p, errOrder
			}
		}
		p.next = bound(i)
		var err error
		if p.leaf, err = t.child(n, i); err != nil {
			return p, err
		}
	}
	return p, damage("the tree of its pages goes in circles")
}

// find looks for key among the entries. That it is not there is certain: damage
// to one place of the file cannot hide an entry that is there.
//
// Damage can send the walk astray, but only to a place beside what is damaged.
// So what is on both sides of the place must be sound; and as the entries begin
// with lowKey and end with highKey, there is something on both sides. For the
// same reason nothing may be put beside a damaged entry: it would hide it.
func (t tree) find(entries node, key []byte, why purpose) (place, error) {
	p, err := t.walk(entries, key, why)
	if err != nil || p.found {
		return p, err
	}
	if p.index == 0 {
		return p, damage("the beginning of the entries is missing")
	}
	if _, err := p.leaf.record(p.index - 1); err != nil {
		return p, err
	}
	right := p
	if p.index == p.leaf.count {
		if right, err = t.after(entries, p); err != nil {
			return p, err
		}
	}
	_, err = right.leaf.record(right.index)
	return p, err
}

// after returns the place of the first key of the leaf behind p. There must be
// one: p is behind some key, and highKey is behind all.
func (t tree) after(entries node, p place) (place, error) {
	if p.next == nil {
		return p, damage("the end of the entries is missing")
	}
	q, err := t.walk(entries, p.next, toRead)
	if err == nil && (!q.found || q.index != 0 || bytes.Compare(p.leaf.key(p.leaf.count-1), p.next) >= 0) {
		err = damagef("the page that begins with %+.80q is missing", p.next)
	}
	return q, err
}

// bucket returns the root page of the bucket name, and whether there is one.
func (t tree) bucket(name string) (root node, ok bool, err error) {
	top, err := t.page(t.root)
	if err != nil {
		return node{}, false, err
	}
	p, err := t.walk(top, []byte(name), toRead)
	if err != nil || !p.found {
		return node{}, false, err
	}
	value, isBucket := p.leaf.value(p.index)
	if !isBucket || len(value) < bucketHeader {
		return node{}, false, damagef("%q is not a bucket", name)
	}
	if id := binary.NativeEndian.Uint64(value); id != 0 {
		root, err = t.page(id)
	} else {
		root, _, err = parseNode(value[bucketHeader:])
	}
	return root, err == nil, err
}
