package cache

import (
	"bytes"
	"encoding/binary"
	"os"
)

const (
	// maxDepth is more levels than any tree has: even four keys to a page make
	// four thousand million entries. A walk that goes deeper goes in circles.
	maxDepth = 16

	// maxPage is more octets than any page has. bbolt leaves up to four
	// entries together however large they are.
	maxPage = 8 * maxValue

	// keepBuffer is the size above which a buffer is not kept for later.
	keepBuffer = 64 << 10
)

// A reader reads pages of one state of the file. What it returns is valid until
// the reader is reset.
type reader struct {
	file     *os.File
	branches *branches // nil: none are held
	state    *state

	metas   []byte // for both meta pages, whose size in file they tell; see readMeta
	buffers [][]byte
	used    int
}

// reset makes r read s.
func (r *reader) reset(s *state) {
	r.state, r.used = s, 0
	for i, b := range r.buffers {
		if len(b) > keepBuffer {
			r.buffers[i] = nil
		}
	}
}

// raw reads page id with the pages that continue it, at most limit octets.
func (r *reader) raw(id uint64, limit int) ([]byte, error) {
	pageSize := r.state.pageSize
	if id < firstPage || id >= r.state.pages {
		return nil, damagef("there is no page %d", id)
	}
	if r.used == len(r.buffers) {
		r.buffers = append(r.buffers, nil)
	}
	b := r.buffers[r.used]
	if len(b) < pageSize {
		b = make([]byte, pageSize)
	}
	offset := int64(id) * int64(pageSize)
	if err := readAt(r.file, b[:pageSize], offset); err != nil {
		return nil, err
	}
	ne := binary.NativeEndian
	if self := ne.Uint64(b); self != id {
		return nil, damagef("page %d says that it is page %d", id, self)
	}
	more := uint64(ne.Uint32(b[12:]))
	if more >= r.state.pages-id || more > uint64(limit/pageSize) {
		return nil, damagef("page %d says that it goes on for %d pages", id, more)
	}
	size := int(more+1) * pageSize
	if size > len(b) {
		b = append(make([]byte, 0, size), b[:pageSize]...)[:size]
	}
	if more > 0 {
		if err := readAt(r.file, b[pageSize:size], offset+int64(pageSize)); err != nil {
			return nil, err
		}
	}
	r.buffers[r.used] = b
	r.used++
	return b[:size], nil
}

// keep makes what was read last valid for ever.
func (r *reader) keep() {
	if r.used > 0 {
		r.buffers[r.used-1] = nil
	}
}

// page reads page id and checks it. A free page may be what a page in use was once,
// and fit in its place.
func (r *reader) page(id uint64) (node, error) {
	if r.state.free.has(id) {
		return node{}, damagef("page %d is in use, and in the list of free pages", id)
	}
	data, err := r.raw(id, maxPage)
	if err != nil {
		return node{}, err
	}
	n, size, err := parseNode(data)
	if err != nil {
		return node{}, err
	}
	if (size+r.state.pageSize-1)/r.state.pageSize*r.state.pageSize != len(data) {
		return node{}, damagef("page %d is %d octets long and fills %d", id, len(data), size)
	}
	return n, nil
}

// child reads the page below the element i of a branch. bbolt keeps that
// element's key equal to the first key of the page below.
func (r *reader) child(n node, i int) (node, error) {
	id, txid := n.child(i), r.state.txid
	held := r.branches.get(id, txid)
	if held != nil && held.isBelow(n, i) {
		return held.node, nil
	}
	var c node
	if held != nil {
		c = held.node
	} else {
		var err error
		if c, err = r.page(id); err != nil {
			return node{}, err
		}
	}
	if c.count == 0 || !bytes.Equal(c.key(0), n.key(i)) {
		return node{}, damagef("page %d is not the page that belongs in its place", id)
	}
	if held == nil && !c.leaf && r.branches.put(c, txid, n, i) {
		r.keep()
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

// walk goes down from root to the place of key. If it fails below a branch, the
// place says what is next.
func (r *reader) walk(root node, key []byte, why purpose) (place, error) {
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
		bound := p.next
		p.next = n.bound(i, bound)
		if why >= toRemove {
			if err := r.checkBeside(n, i, bound); err != nil {
				return p, err
			}
		}
		var err error
		if p.leaf, err = r.child(n, i); err != nil {
			return p, err
		}
	}
	return p, errCircles
}

// checkBeside checks the pages on both sides of the one below the element i of
// n. The keys of n are less than bound.
func (r *reader) checkBeside(n node, i int, bound []byte) error {
	for _, j := range [2]int{i - 1, i + 1} {
		if j < 0 || j >= n.count {
			continue
		}
		c, err := r.child(n, j)
		if err != nil {
			return err
		}
		if !c.inOrder(n.bound(j, bound)) {
			return errOrder
		}
	}
	return nil
}
