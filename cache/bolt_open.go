package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// OpenBolt opens the store in the file at path. If the file is absent or empty, it makes a new
// store. A new file has mode 0600, and its directory must exist. It gets its name when it is
// complete, so neither a full disk nor a crash leaves half a store.
//
// OpenBolt fails within about a second if another process has the file open. It fails if the
// file cannot be read and written, is not a regular file, belongs to another program, has an
// unknown format, or is visibly damaged. Damage to an entry shows when the entry is used.
func OpenBolt(path string) (*Bolt, error) {
	info, err := statStore(path)
	var b *Bolt
	switch {
	case err != nil:
	case info == nil:
		err = createStore(path)
	case info.Size() > 0:
		// bbolt changes some files of other programs when it opens them for writing.
		if b, err = openFile(path, true); err == nil {
			err = b.db.Close()
		}
	}
	if err == nil {
		b, err = openFile(path, false)
	}
	if errors.Is(err, errWriting) && info != nil && info.Size() == 0 {
		_ = os.Truncate(path, 0) // bbolt may have written a part of its first pages
	}
	if err != nil {
		return nil, (&Bolt{path: path}).wrap(err)
	}
	return b, nil
}

// statStore returns what is at path, nil if nothing is, or an error if it cannot be a store.
func statStore(path string) (fs.FileInfo, error) {
	log, dir := path+"-wal", filepath.Dir(path)
	if _, err := os.Lstat(log); err == nil {
		return nil, fmt.Errorf("%q is the log of a format that was never released: move it and the store away to begin with an empty store", log)
	}
	info, err := os.Stat(path)
	switch {
	case path == "":
		return nil, errors.New("the path of the store is empty")
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the directory %q does not exist: create it, owned by the user that the program runs as: %w", dir, fs.ErrNotExist)
		}
		return nil, nil
	case err != nil:
		return nil, openError(err)
	case info.IsDir():
		return nil, errors.New("this is a directory: give the path of a file in it")
	case !info.Mode().IsRegular(): // to open a pipe would wait for its other end
		return nil, fmt.Errorf("this is not a regular file (%s)", info.Mode())
	}
	return info, nil
}

// createStore makes a new store at path, or nothing.
func createStore(path string) error {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, "go-mtasts-new-store-*") // with mode 0600
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("a new file is not allowed in the directory %q: let the user that the program runs as write there: %w", dir, fs.ErrPermission)
	}
	if err != nil {
		return writing(err)
	}
	defer os.Remove(file.Name())
	file.Close()
	b, err := openFile(file.Name(), false)
	if err != nil {
		return err
	}
	if err := b.db.Close(); err != nil {
		return writing(err)
	}
	// Unlike os.Rename, os.Link never replaces what another process has just made.
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := os.Rename(file.Name(), path); err != nil { // this file system has no links
			return writing(err)
		}
	}
	// This brings the new name to the disk. Systems that refuse do it without being asked.
	if d, err := os.Open(dir); err == nil {
		defer d.Close()
		if err := d.Sync(); errors.Is(err, syscall.EIO) {
			return writing(err)
		}
	}
	return nil
}

// openFile opens a file with bbolt. Unless readOnly, a file without buckets becomes a store.
func openFile(path string, readOnly bool) (b *Bolt, err error) {
	b = &Bolt{path: path, turn: make(chan struct{}, 1)}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer b.contain(&err)
	opts := bolt.Options{
		ReadOnly:     readOnly,
		Timeout:      500 * time.Millisecond, // OpenBolt opens twice; by default bbolt waits for ever
		NoStatistics: true,                   // they take a lock that all readers share
		// Not NoFreelistSync: bbolt would have to read the whole file for its free pages, on a
		// goroutine of its own, where a panic cannot be recovered.
	}
	if runtime.GOOS != "windows" { // where a file is as large as its mapping
		// To enlarge the mapping, bbolt waits for readers and lets no new ones begin. During a
		// Backup that is long. So 64-bit processes map 4 GiB: this takes addresses, not memory.
		opts.InitialMmapSize = 1 << (strconv.IntSize / 2)
	}
	if b.db, err = bolt.Open(path, 0o600, &opts); err != nil {
		return nil, openError(err)
	}
	b.db.AllocSize = 1 << 20 // by which the file grows; 16 MiB by default
	fresh := false
	err = b.view(func(tx *bolt.Tx) (err error) {
		fresh, err = inspect(tx)
		return err
	})
	if err == nil && fresh && !readOnly {
		err = b.update(initialize)
	}
	if err != nil {
		return nil, errors.Join(err, b.db.Close())
	}
	return b, nil
}

// openError says what an error of bolt.Open means.
func openError(err error) error {
	pathErr, isPath := errors.AsType[*fs.PathError](err)
	_, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return errors.New("another process has the store open: stop it, or give each process a file of its own")
	case isPath && pathErr.Op == "write": // bbolt writes only to an empty file
		return writing(err)
	case isPath || isErrno:
		return fmt.Errorf("the file cannot be opened for reading and writing: %w", err)
	}
	return damagef("this is not a bbolt file, or no longer: %v", err)
}
