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

// lockWait is how long each of two openings waits for another process, which may just be
// closing the file.
const lockWait = 500 * time.Millisecond

// OpenBolt opens the store in the file at path. An absent or empty file becomes a new
// store; its directory must exist. Only its owner may read and write a new file. It is made
// under another name and gets its own when it is complete, so neither a full disk nor a
// crash leaves half a store.
//
// OpenBolt fails within about a second if another process has the file open. It also fails
// if the directory is missing or allows no new file; if the file is not a regular file, or
// cannot be read and written; if it belongs to another program, has a format that this
// version does not know, or is visibly damaged. The file then stays as it is. Damage to a
// single entry shows when that is used.
func OpenBolt(path string) (*Bolt, error) {
	b, err := openStore(path)
	if err != nil {
		return nil, storeError(path, err)
	}
	return b, nil
}

func openStore(path string) (*Bolt, error) {
	if path == "" {
		return nil, errors.New("the path is empty: it is to name the file of the store")
	}
	info, err := statStore(path)
	if err != nil {
		return nil, err
	}
	empty := false
	switch {
	case info == nil:
		err = createStore(path)
	case info.Size() == 0:
		empty = true
	default:
		// bbolt changes some files of other programs when it opens them for writing.
		var b *Bolt
		if b, _, err = openFile(path, true); err == nil {
			err = b.db.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	b, err := openWritable(path)
	if empty && errors.Is(err, errWriting) {
		_ = os.Truncate(path, 0) // bbolt may have written a part of its first pages
	}
	return b, err
}

// statStore returns what is at path, nil if nothing is, and what is wrong with it.
func statStore(path string) (fs.FileInfo, error) {
	log, dir := path+"-wal", filepath.Dir(path)
	if _, err := os.Lstat(log); err == nil {
		return nil, fmt.Errorf("%q is the log of a format that was never released: move it and the store away to begin with an empty store", log)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && path != "" {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the directory %q does not exist: create it, owned by the user that the program runs as: %w", dir, fs.ErrNotExist)
		}
		return nil, nil
	}
	switch {
	case err != nil:
		return nil, openError(err)
	case info.IsDir():
		return nil, errors.New("this is a directory: give the path of a file in it")
	case !info.Mode().IsRegular(): // to open a pipe would wait for its other end
		return nil, fmt.Errorf("this is not a regular file (%s)", info.Mode())
	}
	return info, nil
}

// createStore makes a new store at path, as a whole or not at all.
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
	b, err := openWritable(file.Name())
	if err != nil {
		return err
	}
	if err := b.db.Close(); err != nil {
		return writing(err)
	}
	// Unlike a renaming, a link never replaces a store that another process has just made.
	// Where there are no links, a renaming has to do.
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := os.Rename(file.Name(), path); err != nil {
			return writing(err)
		}
	}
	return writing(syncDir(dir))
}

// openWritable opens a file, and makes it a store if it has no buckets.
func openWritable(path string) (*Bolt, error) {
	b, fresh, err := openFile(path, false)
	if err != nil || !fresh {
		return b, err
	}
	if err := b.update(initialize); err != nil {
		return nil, errors.Join(err, b.db.Close())
	}
	return b, nil
}

// openFile opens a file with bbolt and inspects it.
func openFile(path string, readOnly bool) (b *Bolt, fresh bool, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer asError(&err)
	opts := bolt.Options{
		ReadOnly: readOnly,
		// Without it, bbolt waits for another process for ever.
		Timeout: lockWait,
		// Free pages are found without a walk through a list, which counts after much was
		// removed. They stay in the file (no NoFreelistSync): to find them anew would
		// read all of it, on a goroutine whose panics nobody can recover.
		FreelistType: bolt.FreelistMapType,
		// Nobody reads them, and readers would share a lock for them.
		NoStatistics: true,
	}
	if runtime.GOOS != "windows" { // where a file is as large as its mapping
		// A mapping that has to grow waits for all readers, and holds up new ones: a slow
		// Backup would delay everybody. So 64-bit processes map 4 GiB from the start, which
		// takes addresses and no memory.
		opts.InitialMmapSize = 1 << (strconv.IntSize / 2)
	}
	db, err := bolt.Open(path, 0o600, &opts)
	if err != nil {
		return nil, false, openError(err)
	}
	db.AllocSize = 1 << 20 // by which the file grows; 16 MiB by default
	b = &Bolt{path: path, db: db, turn: make(chan struct{}, 1)}
	err = b.view(func(tx *bolt.Tx) (err error) {
		fresh, err = inspect(tx)
		return err
	})
	if err != nil {
		return nil, false, errors.Join(err, db.Close())
	}
	return b, fresh, nil
}

// openError says what an error of opening the file means.
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

// syncDir has the names in a directory written to the disk. Windows does so by itself, and
// a directory that may only be entered cannot be opened.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	if err := d.Sync(); errors.Is(err, syscall.EIO) {
		return err
	}
	return nil
}
