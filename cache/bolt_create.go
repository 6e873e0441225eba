package cache

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// create makes a new store at path, as a whole or not at all, and never in the place
// of a file that somebody else has made there meanwhile.
func create(path string) error {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, "go-mtasts-new-store-*") // with mode 0600
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("a new file is not allowed in the directory %q: let the user that the program runs as write there: %w", dir, fs.ErrPermission)
	}
	if err != nil {
		return newStoreError(err)
	}
	defer os.Remove(file.Name())
	if err := file.Close(); err != nil {
		return newStoreError(err)
	}
	db, _, err := openDB(file.Name(), false, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(initialize(db), db.Close()); err != nil {
		return err
	}
	// Unlike a renaming, a link replaces nothing.
	if os.Link(file.Name(), path) != nil {
		// Either path is there by now, and the store that it is will be opened;
		// or the file system has no links, and an empty file will be filled.
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return newStoreError(err)
		}
		file.Close()
	}
	return newStoreError(syncDir(dir))
}

// emptyAgain makes the file at path empty, as it was, after bbolt has written part of
// its first pages: nothing could be made of those. Nobody else has made a store of
// them meanwhile, but path may be another file by now.
func emptyAgain(path string, was fs.FileInfo) {
	if was == nil || was.Size() > 0 {
		return
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	if info, err := file.Stat(); err == nil && os.SameFile(info, was) {
		_ = file.Truncate(0)
	}
	file.Close()
}

// initialize makes an empty bbolt file a store.
func initialize(db *bolt.DB) error {
	err := db.Update(func(tx *bolt.Tx) error {
		about, err := tx.CreateBucket([]byte(metaBucket))
		if err != nil {
			return err
		}
		entries, err := tx.CreateBucket([]byte(entriesBucket))
		if err != nil {
			return err
		}
		for _, key := range []string{lowKey, highKey} {
			sentinel := record{expires: never()}.encode([]byte(key))
			if err := entries.Put([]byte(key), sentinel); err != nil {
				return err
			}
		}
		var id storeID
		rand.Read(id[:])
		return errors.Join(about.Put([]byte(versionKey), []byte{formatVersion}), about.Put([]byte(idKey), id[:]))
	})
	return newStoreError(err)
}

var errNewStore = errors.New("a new store cannot be written")

func newStoreError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errNewStore, withoutPath(err))
}

// syncDir has the names in a directory on the disk. Where a directory cannot be synced (Windows,
// a directory that may be entered but not listed), the system has to do that by itself; a disk
// that fails is an error.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); errors.Is(err, syscall.EIO) {
		return err
	}
	return nil
}
