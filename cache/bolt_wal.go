package cache

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
//	8       the storeID
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
// A disk writes a sector as a whole or not at all, and harms none beside it. So what a
// crash leaves of a group that was just being written harms no other, and can be told: it
// is the last. If a group can be read behind one that cannot, that one has been damaged
// later. No text of a stranger passes for a group, wherever in the log it comes to lie:
// nobody knows the nonce.
type wal struct {
	path   string // absolute, and of no link
	id     storeID
	store  *os.File // whose log it is
	file   *os.File // nil: there is none
	nonce  [8]byte
	number uint32 // of the next group
	end    int    // where it goes; walSize if the log has to begin anew
	buf    []byte
}

// A storeID is in a store's file and in its log, so that neither is taken for that of
// another store.
type storeID [8]byte

const (
	walSuffix   = "-wal"
	walMagic    = "mtasts-1"
	walHeader   = len(walMagic) + len(storeID{}) + 8 + crcSize
	groupHeader = crcSize + 4 + 4 + 8
	sector      = 512

	// walSize is room for some 500 policies one by one, or twice as many in groups:
	// enough for what they cost together later to matter little to each.
	walSize = 256 << 10
)

// errNoRoom is what add returns if a group does not fit behind the others.
var errNoRoom = errors.New("the log is full")

// add has group on the disk when it returns nil. If it fails otherwise than for want of
// room, group may be in the log all the same, which then has to begin anew.
func (l *wal) add(group []*write) error {
	b, err := appendGroup(l.buf[:0], group)
	if err != nil {
		return err
	}
	if len(b) <= keepBuffer {
		l.buf = b
	}
	if l.file == nil {
		if err := l.replace(nil); err != nil {
			return err
		}
	}
	if len(b) > walSize-l.end {
		return errNoRoom
	}
	l.seal(b)
	if err := l.write(b, l.end); err != nil {
		l.end = walSize
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

// reset empties the log, once all that is in it is on the disk in the store's file too.
func (l *wal) reset() error {
	if l.file == nil || l.end == sector {
		return nil
	}
	if err := l.write(l.begin(), 0); err != nil {
		l.end = walSize
		return err
	}
	return nil
}

// begin makes l a log without a group and returns its first sector.
func (l *wal) begin() []byte {
	rand.Read(l.nonce[:])
	l.number, l.end = 0, sector
	b := append(make([]byte, 0, sector), walMagic...)
	b = append(b, l.id[:]...)
	b = append(b, l.nonce[:]...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:sector]
}

// replace puts a new log in the place of the one that is there, or of none, with what
// group has: as a whole, or not at all. The file has all the room that it will have: to
// write there later changes nothing that the file system would have to write down too.
func (l *wal) replace(group []*write) error {
	temp := l.path + "-new"
	os.Remove(temp) // left by a crash
	file, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	next := wal{path: l.path, id: l.id, store: l.store, file: file}
	b := append(make([]byte, 0, walSize), next.begin()...)
	if len(group) > 0 {
		if b, err = appendGroup(b, group); err == nil {
			next.seal(b[sector:])
			next.number, next.end = 1, len(b)
		}
	}
	if err == nil {
		_, err = file.WriteAt(b[:walSize], 0)
	}
	if err = errors.Join(err, file.Sync()); err == nil {
		err = l.give(temp)
	}
	os.Remove(temp) // before the directory is synced
	if err != nil {
		file.Close()
		l.end = walSize
		return err
	}
	l.close()
	*l = next
	if err := syncDir(filepath.Dir(l.path)); err != nil {
		l.remove()
		return err
	}
	return nil
}

// give puts temp in the place of the log, but of no other file that is there, and not where
// the store is no longer.
func (l *wal) give(temp string) error {
	if !isAt(l.store, strings.TrimSuffix(l.path, walSuffix)) {
		return errors.New("the store has been moved")
	}
	if l.file == nil {
		return os.Link(temp, l.path) // which replaces nothing
	}
	if !isAt(l.file, l.path) {
		return errors.New("the log has been moved")
	}
	return os.Rename(temp, l.path)
}

func isAt(file *os.File, path string) bool {
	ours, err := file.Stat()
	there, errThere := os.Lstat(path)
	return err == nil && errThere == nil && os.SameFile(ours, there)
}

// remove removes the log, which is empty.
func (l *wal) remove() {
	if l.file == nil {
		return
	}
	ours := isAt(l.file, l.path)
	l.close()
	if ours {
		os.Remove(l.path)
	}
}

func (l *wal) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// walPath returns where the log of the store at path is: beside the file itself, by
// whatever link it is opened, and wherever the process goes.
func walPath(path string) (string, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	path, err := filepath.Abs(path)
	return path + walSuffix, err
}

// openWAL returns the log at path, which need not be there, and the writes in it in
// their order. The caller has a lock on the store's file.
func openWAL(path string, id storeID, store *os.File) (l *wal, writes []*write, err error) {
	l = &wal{path: path, id: id, store: store}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG) {
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
	if errors.As(err, new(*fs.PathError)) {
		return nil, nil, fmt.Errorf("its log %q cannot be read and written: %w", path, withoutPath(err))
	}
	if err != nil {
		// Not %w: what is to be done about a damaged store is something else.
		return nil, nil, fmt.Errorf("its log %q: %v; restore both files from a backup, or move the log away to do without what was stored last", path, err)
	}
	return l, writes, nil
}
