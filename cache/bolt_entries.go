package cache

import (
	"bytes"
	"encoding/binary"
)

// A store has two buckets. The entries lie between two records that no caller
// can reach, so that an entry always has a neighbour on either side by which to
// tell, when it is not found, that it is not there.
const (
	metaBucket    = "go-mtasts store" // about the store: its format version
	entriesBucket = "entries"         // key -> record

	lowKey  = "\x00"
	highKey = "\xff"
)

// A state is the file after one of its transactions.
type state struct {
	meta
	free    freelist
	entries node    // the root page of the entries
	id      storeID // as inspect has found it
}

// begin makes r read the state of m, which is without its entries yet, and returns also
// the page that the buckets are below.
func (r *reader) begin(m meta) (s *state, top node, err error) {
	s = &state{meta: m}
	r.reset(s)
	if s.free, err = r.freelist(m.freelist); err == nil {
		top, err = r.page(m.root)
	}
	return s, top, err
}

// findEntries completes a state.
func (r *reader) findEntries(s *state, top node) error {
	bucket, ok, err := r.bucket(top, entriesBucket)
	if err == nil && !ok {
		err = damagef("it has no bucket %q", entriesBucket)
	}
	if err != nil {
		return err
	}
	root, err := r.rootPage(bucket)
	if err != nil {
		return err
	}
	if root.id != 0 {
		r.keep()
	}
	s.entries = root.withPrefixes()
	return nil
}

// rootPage returns the root page of a bucket. If its number is 0, that is a copy of a leaf
// inside the bucket, which has the number 0 itself and no further pages.
func (r *reader) rootPage(bucket []byte) (node, error) {
	ne := binary.NativeEndian
	if id := ne.Uint64(bucket); id != 0 {
		return r.page(id)
	}
	data := bytes.Clone(bucket[bucketHeader:])
	n, size, err := parseNode(data)
	if err != nil {
		return node{}, err
	}
	if !n.leaf || size != len(data) || n.id != 0 || ne.Uint32(data[12:]) != 0 {
		return node{}, damage("a page inside a bucket is not what it should be")
	}
	return n, nil
}

// bucket returns the bucket name, as it is kept below top.
func (r *reader) bucket(top node, name string) (value []byte, ok bool, err error) {
	p, err := r.walk(top, []byte(name), toRead)
	if err != nil || !p.found {
		return nil, false, err
	}
	value, isBucket := p.leaf.value(p.index)
	if !isBucket || len(value) < bucketHeader {
		return nil, false, damagef("%q is not a bucket", name)
	}
	return value, true, nil
}

// find looks for key among the entries. That it is not there is certain: damage
// to one place of the file cannot hide an entry that is there, short of turning
// the number of a page into that of the first of the pages below it.
//
// Damage can send the walk astray, but only to a place beside what is damaged.
// So what is on both sides of the place must be sound; and as the entries begin
// with lowKey and end with highKey, there is something on both sides. For the
// same reason nothing may be put beside a damaged entry: it would hide it.
func (r *reader) find(entries node, key []byte, why purpose) (place, error) {
	p, err := r.walk(entries, key, why)
	if err != nil || p.found {
		return p, err
	}
	if p.index == 0 {
		return p, errBeginning
	}
	if _, err := p.leaf.record(p.index - 1); err != nil {
		return p, err
	}
	right := p
	if p.index == p.leaf.count {
		if right, err = r.after(entries, p); err != nil {
			return p, err
		}
	}
	_, err = right.leaf.record(right.index)
	return p, err
}

// after returns the place of the first key of the leaf behind p. There must be
// one: p is behind some key, and highKey is behind all.
func (r *reader) after(entries node, p place) (place, error) {
	if p.next == nil {
		return p, damage("the end of the entries is missing")
	}
	q, err := r.walk(entries, p.next, toRead)
	if err == nil && (!q.found || q.index != 0 || bytes.Compare(p.leaf.key(p.leaf.count-1), p.next) >= 0) {
		err = damagef("the page that begins with %+.80q is missing", p.next)
	}
	return q, err
}
