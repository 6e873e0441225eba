package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math"
	"os"
)

const (
	metaSize    = pageHeader + 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	firstPage   = 2 // pages 0 and 1 are the meta pages
)

// A meta is the root of everything. bbolt writes page 0 and page 1 in turn, and
// the one with the higher transaction number counts.
type meta struct {
	pageSize int
	root     uint64 // page of the bucket that holds the buckets
	freelist uint64 // page of the list of free pages
	pages    uint64 // all pages in use have smaller numbers
	txid     uint64
}

// readMeta reads the meta page that counts, and makes sure that all pages in use
// are in the file.
//
// bbolt would do with one good meta page, and with the other one gone that is
// the state before the last transaction: what was reported as stored would be
// missing without a word. It allows for a meta page that was half written when
// the power went. But the 64 octets that matter are in one sector, which a disk
// writes as a whole, so a meta page that does not match its checksum has been
// damaged later.
//
// It does not ask for the size of the file, but reads its end: since Linux 6.13 a look at
// what stat returns makes the next write note the file's times more exactly, which costs
// a commit a further write to the disk.
func (r *reader) readMeta() (meta, error) {
	if r.metas == nil {
		b := make([]byte, metaSize)
		if err := readAt(r.file, b, 0); err != nil {
			return meta{}, err
		}
		first, err := parseMeta(b)
		if err != nil {
			return meta{}, err
		}
		r.metas = make([]byte, first.pageSize+metaSize)
	}
	b := r.metas
	pageSize := len(b) - metaSize
	if err := readAt(r.file, b, 0); err != nil {
		return meta{}, err
	}
	m, err := parseMeta(b)
	if err != nil {
		return meta{}, err
	}
	other, err := parseMeta(b[pageSize:])
	if err != nil {
		return meta{}, err
	}
	if m.pageSize != pageSize || other.pageSize != pageSize {
		return meta{}, damagef("its pages have %d octets, or %d", m.pageSize, other.pageSize)
	}
	if other.txid > m.txid {
		m = other
	}
	if m.pages < firstPage || m.pages > math.MaxInt64/uint64(pageSize) {
		return meta{}, damagef("it has %d pages", m.pages)
	}
	return m, readAt(r.file, b[:1], int64(m.pages)*int64(pageSize)-1)
}

// parseMeta parses the beginning of a meta page.
func parseMeta(page []byte) (meta, error) {
	b := page[pageHeader:]
	ne := binary.NativeEndian
	if ne.Uint32(b) != metaMagic || ne.Uint32(b[4:]) != metaVersion {
		return meta{}, damage("a meta page is not one of bbolt, format 2")
	}
	sum := fnv.New64a()
	sum.Write(b[:56])
	if ne.Uint64(b[56:]) != sum.Sum64() {
		return meta{}, damage("the checksum of a meta page does not match")
	}
	size := ne.Uint32(b[8:])
	if size < 1<<10 || size > 1<<24 || size&(size-1) != 0 {
		return meta{}, damagef("its pages have %d octets", size)
	}
	return meta{
		pageSize: int(size),
		root:     ne.Uint64(b[16:]),
		freelist: ne.Uint64(b[32:]),
		pages:    ne.Uint64(b[40:]),
		txid:     ne.Uint64(b[48:]),
	}, nil
}

// readAt fills b from the file.
func readAt(file *os.File, b []byte, offset int64) error {
	_, err := file.ReadAt(b, offset)
	if errors.Is(err, io.EOF) {
		return damagef("it ends before octet %d", offset+int64(len(b)))
	}
	if err != nil {
		return fmt.Errorf("octet %d cannot be read: %w", offset, withoutPath(err))
	}
	return nil
}

// withoutPath returns an error of a file without its path, which storeError adds.
func withoutPath(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
