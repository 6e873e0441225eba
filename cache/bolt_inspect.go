package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

const (
	// formatVersion is the version of what a store holds: the buckets, and the
	// layout of a record. A file with a greater one is left alone.
	formatVersion = 1

	versionKey = "version" // in metaBucket; the value is one octet
)

// inspect checks what bbolt relies on from the start, and that the file is
// a store of ours. It reports whether the file is bbolt's but still empty, and
// so about to become a store.
func inspect(db *bolt.DB, file *os.File) (isNew bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = caught(p)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	err = db.View(func(tx *bolt.Tx) error {
		if err := checkLength(file, tx.Size()); err != nil {
			return err
		}
		t := treeOf(tx)
		if err := t.checkMeta(); err != nil {
			return err
		}
		isNew, err = t.checkFormat()
		return err
	})
	return isNew, err
}

// checkMeta checks the meta pages and the list of free pages.
//
// bbolt would do with one good meta page, and that is the state before the last
// transaction: what was reported as stored would be gone without a word. It
// allows for a meta page that was half written when the power went. But the 64
// octets that matter are in one sector, which a disk writes as a whole, so
// a meta page that does not match its checksum has been damaged later.
func (t tree) checkMeta() error {
	var current meta
	for page := range firstPage {
		m, err := parseMeta(t.data[page*t.pageSize:])
		if err != nil {
			return err
		}
		if int(m.pageSize) != t.pageSize {
			return damagef("the meta pages differ in the size of a page: %d and %d", m.pageSize, t.pageSize)
		}
		if m.txid >= current.txid {
			current = m
		}
	}
	return t.checkFreelist(current.freelist)
}

// checkFreelist checks that the list of free pages is one: bbolt allocates
// memory for as many numbers as the list claims to have, and writes to the pages
// that it names.
func (t tree) checkFreelist(id uint64) error {
	data, err := t.raw(id)
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
		if free <= last || free >= t.pages() {
			return damagef("page %d is in the list of free pages after page %d", free, last)
		}
		last = free
	}
	return nil
}

// checkFormat checks that the file is a store, of a version that we know.
func (t tree) checkFormat() (isNew bool, err error) {
	top, err := t.page(t.root)
	if err != nil {
		return false, err
	}
	about, ok, err := t.bucket(metaBucket)
	switch {
	case err != nil:
		return false, err
	case !ok && top.count == 0:
		return true, nil
	case !ok:
		return false, errors.New("this is a bbolt file of another program: give the store a file of its own")
	}
	version, err := t.version(about)
	if err != nil {
		return false, err
	}
	if version > formatVersion {
		return false, fmt.Errorf("the store has format version %d, and this program knows versions up to %d: use the newer program, or another file", version, formatVersion)
	}
	_, ok, err = t.bucket(entriesBucket)
	if err == nil && !ok {
		err = damagef("it has no bucket %q", entriesBucket)
	}
	return false, err
}

func (t tree) version(about node) (byte, error) {
	p, err := t.walk(about, []byte(versionKey), toRead)
	if err != nil {
		return 0, err
	}
	if !p.found {
		return 0, damage("it has no format version")
	}
	v, _ := p.leaf.value(p.index)
	if len(v) != 1 || v[0] == 0 {
		return 0, damagef("its format version is %q", v)
	}
	return v[0], nil
}
