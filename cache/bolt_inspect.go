package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

const (
	// formatVersion is the version of what a store holds: the buckets, and the
	// layout of a record. A file with another one is left alone.
	formatVersion = 2

	versionKey = "version" // in metaBucket; the value is one octet

	freelistMany = 0xFFFF // elements: so many that the first element is their number
)

// inspect checks what bbolt relies on from the start, and that the file is
// a store of a version that we know. The state is nil if the file is bbolt's but
// still empty, and so about to become a store. The caller has a lock on it.
func inspect(file *os.File) (*state, error) {
	m, err := readMeta(file)
	if err != nil {
		return nil, err
	}
	r := &reader{file: file}
	r.reset(m)
	if err := r.checkFreelist(m.freelist); err != nil {
		return nil, err
	}
	about, ok, err := r.bucket(m.root, metaBucket)
	if err != nil {
		return nil, err
	}
	if !ok {
		if top, err := r.page(m.root); err != nil || top.count == 0 {
			return nil, err
		}
		return nil, errors.New("this is a bbolt file of another program: give the store a file of its own")
	}
	version, err := r.version(about)
	if err != nil {
		return nil, err
	}
	if version != formatVersion {
		return nil, fmt.Errorf("the store has format version %d, and this program knows version %d: use the program that wrote it, or another file", version, formatVersion)
	}
	return r.currentState()
}

// checkFreelist checks that the list of free pages is one: bbolt allocates
// memory for as many numbers as the list claims to have, and writes to the pages
// that it names.
func (r *reader) checkFreelist(id uint64) error {
	// There are no more free pages than pages. bbolt makes room for a few more.
	data, err := r.raw(id, 8*int(r.pages)+4*r.pageSize)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	if kind := ne.Uint16(data[8:]); kind != freelistPage {
		return damagef("the list of free pages has the kind %#x", kind)
	}
	list := data[pageHeader:]
	count := uint64(ne.Uint16(data[10:]))
	if count == freelistMany {
		count, list = ne.Uint64(list), list[8:]
	}
	if count > uint64(len(list)/8) {
		return damagef("the list of free pages says that it has %d entries", count)
	}
	last := uint64(firstPage - 1)
	for i := range int(count) {
		free := ne.Uint64(list[8*i:])
		if free <= last || free >= r.pages {
			return damagef("page %d is in the list of free pages after page %d", free, last)
		}
		last = free
	}
	return nil
}

func (r *reader) version(about []byte) (byte, error) {
	root, err := r.rootPage(about)
	if err != nil {
		return 0, err
	}
	p, err := r.walk(root, []byte(versionKey), toRead)
	if err != nil {
		return 0, err
	}
	if !p.found {
		return 0, damage("it has no format version")
	}
	v, _ := p.leaf.value(p.index)
	if len(v) != 1 || v[0] == 0 {
		return 0, damagef("its format version is %+.20q", v)
	}
	return v[0], nil
}
