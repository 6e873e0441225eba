package cache

import (
	"errors"
	"fmt"
	"os"
)

const (
	// formatVersion is the version of what a store holds: the buckets, and the
	// layout of a record. A file with another one is left alone.
	formatVersion = 2

	versionKey = "version" // in metaBucket; the value is one octet
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
	s, err := r.begin(m)
	if err != nil {
		return nil, err
	}
	about, ok, err := r.bucket(s.root, metaBucket)
	if err != nil {
		return nil, err
	}
	if !ok {
		if top, err := r.page(s.root); err != nil || top.count == 0 {
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
	if err := r.findEntries(s); err != nil {
		return nil, err
	}
	return s, nil
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
