package cache

import (
	"errors"
	"fmt"
	"io/fs"

	bolterrors "go.etcd.io/bbolt/errors"
)

// A damage is what is wrong with a file.
type damage string

func (d damage) Error() string { return "the file is damaged: " + string(d) }

func damagef(format string, args ...any) error { return damage(fmt.Sprintf(format, args...)) }

const (
	errUnwritable damage = "a write has failed in its midst, and nothing is written any more until the store is opened again"
	errUnreadable damage = "its beginning could not be read, and nothing is read any more until the store is opened again"
)

var errWriting = errors.New("the file cannot be written")

// writing says what an error of writing is about.
func writing(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errWriting, err)
}

// storeError says which file err is about and, if it is damaged, what to do.
func storeError(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fmt.Errorf("cache: %q: the store is closed: %w", path, fs.ErrClosed)
	case errors.As(err, new(damage)):
		return fmt.Errorf("cache: %q: %w; restore it from a backup, or stop the program and move it away to begin with an empty store", path, err)
	}
	return fmt.Errorf("cache: %q: %w", path, err)
}
