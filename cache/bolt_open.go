package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long each of the two openings waits for another process to
// let go of the file: long enough for one that is just closing it.
const lockWait = 500 * time.Millisecond

// OpenBolt opens the store in the file at path. An absent or an empty file
// becomes a new store; its directory must exist. A new file is readable and writable
// by its owner only. It is made under another name beside path and gets its own
// once it is whole, so that neither a full disk nor a crash leaves half a store.
//
// OpenBolt fails within about a second if another process has the file open; if
// the directory is missing or does not allow a new file; if the file cannot be
// read and written, is not a regular file, is damaged, belongs to another
// program, or was written by a newer version of this package in a format that
// this version does not know; if any of that is the matter with the log that a crash
// has left beside it; or if there is a log, but no store. In all these cases both files
// are left as they are, to the octet. What is checked does not grow with the number of
// entries: damage to single entries shows when they are used.
func OpenBolt(path string) (*Bolt, error) {
	b, err := openBolt(path)
	if err != nil {
		return nil, storeError(path, err)
	}
	return b, nil
}

func openBolt(path string) (*Bolt, error) {
	info, err := lookAt(path)
	if err != nil {
		return nil, err
	}
	log, err := walPath(path)
	fresh := isNew(info)
	if err == nil && fresh {
		info, err = lookForLog(path, log)
	}
	if err == nil && info == nil {
		if err = create(path); err == nil {
			info, err = lookAt(path)
		}
	}
	if err != nil {
		return nil, err
	}
	var r reader
	var seen *state
	look := func(file *os.File) (err error) {
		r = reader{file: file}
		seen, err = r.inspect()
		return err
	}
	if isNew(info) {
		look = nil
	}
	db, file, err := openDB(path, false, look)
	if errors.Is(err, errLooksBad) {
		// What another process is just writing to may look worse than it is. With
		// a lock on it, and opened for reading only so that it cannot be changed,
		// whatever bbolt makes of it, the file shows what it is.
		if db, file, err = openDB(path, true, nil); err != nil {
			return nil, err
		}
		_, err = (&reader{file: file}).inspect()
		if err := errors.Join(err, db.Close()); err != nil {
			return nil, err
		}
		db, file, err = openDB(path, false, nil)
	}
	if errors.Is(err, errNewStore) {
		emptyAgain(path, info)
	}
	if err != nil {
		return nil, err
	}
	// Now that nobody else can change it, the file may no longer be what was seen.
	if r.file != file {
		r = reader{file: file}
	}
	state, err := r.lookAgain(seen)
	if err == nil && state == nil {
		if err = errors.Join(initialize(db), syncDir(filepath.Dir(path))); err == nil {
			state, err = r.inspect()
		}
	}
	if err == nil && fresh {
		log, err = walPath(path) // a link that led nowhere could not be followed before
	}
	var wal *wal
	var left []*write
	if err == nil {
		wal, left, err = openWAL(log, state.id, file)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	b := &Bolt{
		path:   path,
		file:   file,
		turn:   make(chan struct{}, 1),
		db:     db,
		reader: r,
		// A crash that has left a log may have kept from the disk what the file has.
		unsynced: wal.file != nil,

		swept:   []byte(lowKey),
		wal:     wal,
		state:   state,
		pending: make(map[string]*write),
	}
	b.takeUp(left)
	return b, nil
}

// isNew reports whether what lookAt has found is to become a new store.
func isNew(info fs.FileInfo) bool { return info == nil || info.Size() == 0 }

// lookForLog is lookAt where there seemed to be no store. A log without one is an error: a
// store has been lost, or is not where it should be.
func lookForLog(path, log string) (fs.FileInfo, error) {
	if _, err := os.Lstat(log); err != nil {
		return lookAt(path)
	}
	info, err := lookAt(path) // again: another process may just have made both
	if err == nil && isNew(info) {
		err = fmt.Errorf("there is no store, but the log of one, %q: put the store there again, or move the log away to begin with an empty store", log)
	}
	return info, err
}

// lookAt returns what is at path, nil if nothing is, and what is wrong with it.
func lookAt(path string) (fs.FileInfo, error) {
	if path == "" {
		return nil, errors.New("the path of the store is empty")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir := filepath.Dir(path)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the directory %q does not exist: create it, owned by the user that the program runs as: %w", dir, fs.ErrNotExist)
		}
		return nil, nil
	case err != nil:
		return nil, openError(err)
	case info.IsDir():
		return nil, errors.New("this is a directory: give the path of a file in it")
	case !info.Mode().IsRegular():
		// Merely opening a pipe would wait for its other end.
		return nil, fmt.Errorf("this is not a regular file (%s)", info.Mode())
	}
	return info, nil
}

// errLooksBad is what openDB returns if look has failed.
var errLooksBad = errors.New("the file does not look like a store")

// lookAgain is inspect, once there is a lock on the file, of which seen is what inspect
// has said before. As each transaction has a number, the same number means that there
// was none in between.
func (r *reader) lookAgain(seen *state) (*state, error) {
	if seen != nil {
		if m, err := r.readMeta(); err != nil || m == seen.meta {
			return seen, err
		}
	}
	return r.inspect()
}

// openDB opens the file with bbolt and returns also bbolt's own handle on it. If look
// is not nil, the file is closed again unless look accepts it, before it is locked and
// before bbolt has seen it.
func openDB(path string, readOnly bool, look func(*os.File) error) (db *bolt.DB, file *os.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			if file != nil {
				file.Close()
			}
			db, file, err = nil, nil, caught(p)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	db, err = bolt.Open(path, 0o600, &bolt.Options{
		ReadOnly: readOnly,
		Timeout:  lockWait,
		// The list of free pages stays on the disk, as it does by default, so
		// that opening need not walk the whole file to rebuild it. In memory too
		// it is bbolt's default, a list: a map would have to be made when the file
		// is opened, which takes longer than all the rest.
		FreelistType: bolt.FreelistArrayType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			file, err = os.OpenFile(name, flag, perm)
			if err == nil && look != nil && look(file) != nil {
				file.Close()
				return nil, errLooksBad
			}
			return file, err
		},
	})
	switch {
	case err == errLooksBad:
		return nil, nil, err
	case err != nil:
		return nil, nil, openError(err)
	}
	return db, file, nil
}

// openError says what an error of opening the file means.
func openError(err error) error {
	var pathErr *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return errors.New("another process has the store open: stop it, or give each process a file of its own")
	case errors.As(err, &pathErr) && pathErr.Op == "write":
		return newStoreError(err) // bbolt writes only if there is nothing yet
	case errors.As(err, &pathErr):
		return fmt.Errorf("the file cannot be opened for reading and writing: %w", pathErr.Err)
	case errors.As(err, &errno):
		return fmt.Errorf("the file cannot be locked or mapped: %w", err)
	default:
		return damagef("bbolt: %v", err)
	}
}
