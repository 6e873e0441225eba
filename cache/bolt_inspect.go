package cache

import (
	"bytes"
	"errors"
	"fmt"
)

const (
	// formatVersion is the version of what a store holds: the buckets, and the
	// layout of a record. A file with another one is left alone.
	formatVersion = 3

	versionKey = "version" // in metaBucket; the value is one octet
	idKey      = "id"      // in metaBucket; the value is a storeID
)

// inspect checks what bbolt relies on from the start, and that the file is
// a store of a version that we know. The state is nil if the file is bbolt's but
// still empty, and so about to become a store. The caller has a lock on it.
func (r *reader) inspect() (*state, error) {
	m, err := r.readMeta()
	if err != nil {
		return nil, err
	}
	s, top, err := r.begin(m)
	if err != nil {
		return nil, err
	}
	about, ok, err := r.bucket(top, metaBucket)
	if err != nil {
		return nil, err
	}
	if !ok {
		if top.count == 0 {
			return nil, nil
		}
		return nil, errors.New("this is a bbolt file of another program: give the store a file of its own")
	}
	page, err := r.rootPage(about)
	if err != nil {
		return nil, err
	}
	version, err := r.about(page, versionKey, 1)
	if err != nil {
		return nil, err
	}
	if version[0] != formatVersion {
		return nil, fmt.Errorf("the store has format version %d, and this program knows version %d: use the program that wrote it, or another file", version[0], formatVersion)
	}
	id, err := r.about(page, idKey, len(s.id))
	if err != nil {
		return nil, err
	}
	copy(s.id[:], id)
	if err := r.findEntries(s, top); err != nil {
		return nil, err
	}
	return s, nil
}

// about returns what the store says about itself under key, below root and in size octets.
func (r *reader) about(root node, key string, size int) ([]byte, error) {
	p, err := r.walk(root, []byte(key), toRead)
	if err != nil {
		return nil, err
	}
	if !p.found {
		return nil, damagef("it has no %q", key)
	}
	v, _ := p.leaf.value(p.index)
	if len(v) != size || bytes.Equal(v, make([]byte, size)) {
		return nil, damagef("its %q is %+.20q", key, v)
	}
	return v, nil
}
