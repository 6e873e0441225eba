package cache

import (
	"encoding/binary"
	"sort"
)

// freelistMany is so many elements of a freelistPage that the first is their number.
const freelistMany = 0xFFFF

// A freelist is the numbers of the pages of a state that are free, each greater than
// the one before, as bbolt writes them.
type freelist []byte

// freelist reads the list that begins on page id, and checks that it is one: bbolt
// allocates memory for as many numbers as the list claims to have, and writes to the
// pages that it names.
func (r *reader) freelist(id uint64) (freelist, error) {
	// There are no more free pages than pages. bbolt makes room for a few more.
	data, err := r.raw(id, 8*int(r.state.pages)+4*r.state.pageSize)
	if err != nil {
		return nil, err
	}
	r.keep()
	ne := binary.NativeEndian
	if kind := ne.Uint16(data[8:]); kind != freelistPage {
		return nil, damagef("the list of free pages has the kind %#x", kind)
	}
	list := freelist(data[pageHeader:])
	count := uint64(ne.Uint16(data[10:]))
	if count == freelistMany {
		count, list = ne.Uint64(list), list[8:]
	}
	if count > uint64(len(list)/8) {
		return nil, damagef("the list of free pages says that it has %d entries", count)
	}
	list = list[:8*count]
	last := uint64(firstPage - 1)
	for i := range list.len() {
		free := list.at(i)
		if free <= last || free >= r.state.pages {
			return nil, damagef("page %d is in the list of free pages after page %d", free, last)
		}
		last = free
	}
	return list, nil
}

func (l freelist) len() int { return len(l) / 8 }

func (l freelist) at(i int) uint64 { return binary.NativeEndian.Uint64(l[8*i:]) }

func (l freelist) has(id uint64) bool {
	i := sort.Search(l.len(), func(i int) bool { return l.at(i) >= id })
	return i < l.len() && l.at(i) == id
}
