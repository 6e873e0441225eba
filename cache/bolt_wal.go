package cache

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A wal is a write-ahead log: what has been put into a Bolt and is on the disk, but not
// among the entries of the file yet. A transaction of bbolt has to wait for the disk
// twice, and writes a page for each level of its trees in between; a group in the log is
// one write, to where the file has its room already, and one wait.
//
// The log is a file beside the store's. It is there from the first Put until Close, and
// longer only after a crash, or when the store's file did not take what is in it.
//
//	octets  content of the first sector
//	8       walMagic
//	8       the nonce: a new one whenever the log begins anew
//	4       CRC-32C of these, big-endian
//
//	octets  content of a group, which begins with a sector
//	4       CRC-32C of all that follows, big-endian
//	4       octets of its writes, big-endian
//	4       its number: 0, 1, 2, …, big-endian
//	8       the nonce
//	rest    its writes, see appendWrite
//
// A disk writes a sector as a whole or not at all. So what a crash leaves of a group that
// was just being written harms no other, and can be told: it is the last. If a group can
// be read behind one that cannot, that one has been damaged later. No text of a stranger
// passes for a group, wherever in the log it comes to lie: nobody knows the nonce.
type wal struct {
	path   string
	file   *os.File // nil: there is none
	nonce  [8]byte
	number uint32 // of the next group
	end    int    // where it goes
	buf    []byte
}

const (
	walSuffix   = "-wal"
	walMagic    = "mtasts-1"
	walHeader   = len(walMagic) + 8 + crcSize
	groupHeader = crcSize + 4 + 4 + 8
	sector      = 512

	// walSize is room for some 500 policies one by one, or twice as many in groups:
	// enough for what they cost together later to matter little to each.
	walSize = 256 << 10
)

// errNoRoom is what append returns if a group does not fit behind the others.
var errNoRoom = errors.New("the log is full")

// append has group on the disk when it returns nil.
func (l *wal) append(group []*write) error {
	size := groupHeader
	for _, w := range group {
		size += len(w.key) + maxHeader + len(w.record.value) // or a little more
	}
	if size > walSize-l.end {
		return errNoRoom
	}
	if l.file == nil {
		if err := l.create(); err != nil {
			return err
		}
	}
	b := append(l.buf[:0], make([]byte, groupHeader)...)
	for _, w := range group {
		b = appendWrite(b, w)
	}
	be := binary.BigEndian
	be.PutUint32(b[4:], uint32(len(b)-groupHeader))
	be.PutUint32(b[8:], l.number)
	copy(b[12:], l.nonce[:])
	be.PutUint32(b, crc32.Checksum(b[crcSize:], castagnoli))
	b = append(b, make([]byte, -len(b)&(sector-1))...)
	if len(b) <= keepBuffer {
		l.buf = b
	}
	if len(b) > walSize-l.end {
		return errNoRoom
	}
	if err := l.write(b, l.end); err != nil {
		return err
	}
	l.number++
	l.end += len(b)
	return nil
}

func (l *wal) write(b []byte, offset int) error {
	if _, err := l.file.WriteAt(b, int64(offset)); err != nil {
		return err
	}
	return syncData(l.file)
}

// create makes the file, with all the room that it will have: to write there later
// changes nothing that the file system would have to write down too.
func (l *wal) create() (err error) {
	l.file, err = os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	b := make([]byte, walSize)
	copy(b, l.begin())
	_, err = l.file.WriteAt(b, 0)
	if err = errors.Join(err, l.file.Sync()); err != nil {
		l.remove()
		return err
	}
	syncDir(filepath.Dir(l.path))
	return nil
}

// begin makes l a log without a group and returns its first sector.
func (l *wal) begin() []byte {
	rand.Read(l.nonce[:])
	l.number, l.end = 0, sector
	b := append(make([]byte, 0, sector), walMagic...)
	b = append(b, l.nonce[:]...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:sector]
}

// reset empties the log, once all that is in it is in the store's file too.
func (l *wal) reset() {
	if l.file != nil && l.end > sector && l.write(l.begin(), 0) != nil {
		l.remove()
	}
}

func (l *wal) remove() {
	if l.file != nil {
		l.close()
		os.Remove(l.path)
	}
}

func (l *wal) close() {
	if l.file != nil {
		l.file.Close()
	}
	*l = wal{path: l.path, end: sector}
}

// walPath returns where the log of the store at path is: beside the file itself, by
// whatever link it was opened.
func walPath(path string) string {
	for range 40 {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			dir, _ := filepath.Split(path)
			target = dir + target
		}
		path = target
	}
	return path + walSuffix
}

// openWAL returns the log at path, which need not be there, and the writes in it in
// their order. The caller has a lock on the store's file.
func openWAL(path string) (l *wal, writes []*write, err error) {
	l = &wal{path: path, end: sector}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("this is not a regular file (%s)", info.Mode())
	}
	if err == nil {
		l.file, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err == nil {
		if writes, err = l.load(); err != nil {
			l.file.Close()
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("its log %q: %w; what was stored last may be in there only: restore both files from a backup, or move the log away to do without", path, withoutPath(err))
	}
	return l, writes, nil
}

// load reads the log and finds out where it goes on.
func (l *wal) load() (writes []*write, err error) {
	data, err := io.ReadAll(io.LimitReader(l.file, walSize+1))
	if err != nil {
		return nil, err
	}
	if len(bytes.Trim(data[:min(sector, len(data))], "\x00")) == 0 {
		l.remove() // left by a crash before the log was made
		return nil, nil
	}
	if len(data) < walHeader || len(data) > walSize || string(data[:len(walMagic)]) != walMagic {
		return nil, errors.New("this is not the log of a store")
	}
	if binary.BigEndian.Uint32(data[walHeader-crcSize:]) != crc32.Checksum(data[:walHeader-crcSize], castagnoli) {
		return nil, damage("the checksum of its first sector does not match")
	}
	copy(l.nonce[:], data[len(walMagic):])
	for l.end < len(data) {
		number, body, ok := parseGroup(data[l.end:], l.nonce)
		if !ok || number != l.number {
			break
		}
		for rest := body; len(rest) > 0; {
			var w *write
			if w, rest, err = parseWrite(rest); err != nil {
				return nil, err
			}
			writes = append(writes, w)
		}
		l.number++
		l.end += (groupHeader + len(body) + sector - 1) &^ (sector - 1)
	}
	for i := l.end; i < len(data); i += sector {
		if _, _, ok := parseGroup(data[i:], l.nonce); ok {
			return nil, damagef("the group at octet %d cannot be read", l.end)
		}
	}
	if len(writes) > 0 && len(data) < walSize {
		return nil, damagef("it ends after %d octets", len(data))
	}
	return writes, nil
}

// parseGroup returns the group that data begins with.
func parseGroup(data []byte, nonce [8]byte) (number uint32, body []byte, ok bool) {
	be := binary.BigEndian
	if len(data) < groupHeader || !bytes.Equal(data[12:groupHeader], nonce[:]) {
		return 0, nil, false
	}
	size := int64(be.Uint32(data[4:])) + groupHeader
	if size > int64(len(data)) || be.Uint32(data) != crc32.Checksum(data[crcSize:size], castagnoli) {
		return 0, nil, false
	}
	return be.Uint32(data[8:]), data[groupHeader:size], true
}

// appendWrite appends a Put to b.
//
//	octets  content
//	varint  octets of the key
//	varint  where the part of the value begins that others may have too
//	varint  octets of the record
//	rest    the key and the record
func appendWrite(b []byte, w *write) []byte {
	record := w.record.encode(w.key)
	for _, n := range [...]int{len(w.key), w.shared, len(record)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return append(append(b, w.key...), record...)
}

// parseWrite returns the write that b begins with.
func parseWrite(b []byte) (w *write, rest []byte, err error) {
	var n [3]uint64
	for i := range n {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, nil, errWrite
		}
		n[i], b = v, b[size:]
	}
	if n[0] > maxKey || n[2] > uint64(maxHeader+maxValue) || n[0]+n[2] > uint64(len(b)) {
		return nil, nil, errWrite
	}
	key, raw := b[:n[0]], b[n[0]:n[0]+n[2]]
	rec, err := decodeRecord(key, raw)
	if err != nil || rec.isShared || n[1] > uint64(len(rec.value)) || checkKey(string(key)) != nil {
		return nil, nil, errWrite
	}
	return &write{key: key, record: rec, shared: int(n[1])}, b[n[0]+n[2]:], nil
}

const errWrite damage = "a group has something in it that no program of ours has written"
