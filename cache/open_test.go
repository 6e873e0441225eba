package cache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	bolt "go.etcd.io/bbolt"
)

// wantOpenError fails the test unless OpenBolt returns an error for path within about a second,
// the error has all of words in it, and the file stays as it is.
func wantOpenError(t *testing.T, path string, words ...string) error {
	t.Helper()
	before, statErr := os.Stat(path)
	content, _ := readRegular(path)
	start := time.Now()
	s, err := cache.OpenBolt(path)
	took := time.Since(start)
	if err == nil {
		s.Close()
		t.Fatalf("OpenBolt(%q): no error, want one with %q", path, words)
	}
	if took > 1500*time.Millisecond {
		t.Errorf("the error took %v: %v", took, err)
	}
	for _, w := range append(words, "cache: ", fmt.Sprintf("%q", path)) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not mention %q", err, w)
		}
	}
	for _, r := range err.Error() {
		if r < ' ' || r > '~' {
			t.Errorf("error %q contains %q", err, r)
		}
	}
	after, err2 := os.Stat(path)
	if errors.Is(statErr, fs.ErrNotExist) {
		if !errors.Is(err2, fs.ErrNotExist) {
			t.Errorf("%q was created: %v, %v", path, after, err2)
		}
		return err
	}
	if statErr == nil {
		if err2 != nil || !after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size() || after.Mode() != before.Mode() {
			t.Errorf("%q was touched: %v, before %v", path, after, before)
		}
		if now, _ := readRegular(path); !bytes.Equal(now, content) {
			t.Errorf("the content of %q was changed", path)
		}
	}
	return err
}

func readRegular(path string) ([]byte, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	return os.ReadFile(path)
}

func TestOpenBoltMakesANewStore(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A crash at the first start of a bbolt program can leave this.
	emptyBolt := filepath.Join(dir, "bolt.db")
	db, err := bolt.Open(emptyBolt, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	for _, path := range []string{filepath.Join(dir, "absent.db"), empty, emptyBolt} {
		for range 2 {
			s, err := cache.OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			if keys, _, err := s.Scan(context.Background(), "", 10); len(keys) != 0 || err != nil {
				t.Errorf("%s: Scan = %q, %v", path, keys, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode(); runtime.GOOS != "windows" && mode != 0o600 {
			t.Errorf("%s: mode %v, want 0600", path, mode)
		}
	}
}

func TestOpenBoltHeldByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	release := holdElsewhere(t, path)
	wantOpenError(t, path, "another process", "stop it")
	release()
	// The same process counts as another.
	s := openBolt(t, path)
	wantOpenError(t, path, "another process")
	if err := inHour(s, "example.com", "value"); err != nil {
		t.Errorf("writing to the store that is open: %v", err)
	}
}

func TestOpenBoltWaitsForOneThatIsClosing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	time.AfterFunc(100*time.Millisecond, func() { s.Close() })
	openBolt(t, path)
}

func TestOpenBoltMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	err := wantOpenError(t, filepath.Join(dir, "store.db"), fmt.Sprintf("%q", dir), "does not exist", "create it")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	wantOpenError(t, filepath.Join(dir, "deeper", "store.db"), "does not exist")
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was created: %v", err)
	}
}

func TestOpenBoltNotAFile(t *testing.T) {
	dir := sharedTempDir(t) // its name is short enough for that of a socket
	wantOpenError(t, "", "empty")
	wantOpenError(t, dir, "directory")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, filepath.Join(file, "store.db"), "directory")

	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wantOpenError(t, socket, "not a regular file")
}

func TestOpenBoltWithoutPermission(t *testing.T) {
	dir := sharedTempDir(t)
	directory := filepath.Join(dir, "directory")
	readOnly, unreadable := filepath.Join(dir, "read-only.db"), filepath.Join(dir, "unreadable.db")
	openBolt(t, readOnly).Close()
	openBolt(t, unreadable).Close()
	for path, mode := range map[string]fs.FileMode{directory: 0o555, readOnly: 0o444, unreadable: 0o000} {
		if path == directory {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(path, 0o700) })
	}
	asOrdinaryUser(t, func() {
		for path, words := range map[string][]string{
			filepath.Join(directory, "store.db"): {"is not allowed in the directory", fmt.Sprintf("%q", directory)},
			readOnly:                             {"reading and writing", "permission denied"},
			unreadable:                           {"reading and writing", "permission denied"},
		} {
			if err := wantOpenError(t, path, words...); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%v is not fs.ErrPermission", err)
			}
		}
	})
}

func TestOpenBoltOfAnotherProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for i := range 200 { // several pages of buckets
			if _, err := tx.CreateBucket(fmt.Appendf(nil, "\x1b[31mbucket %d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, path, "another program", "file of its own")
}

func TestOpenBoltOfAnotherFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "newer.db")
	openBolt(t, path).Close()
	setVersion := func(v []byte) {
		t.Helper()
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error {
			// A newer version may keep its entries elsewhere.
			if tx.Bucket([]byte("entries")) != nil {
				if err := tx.DeleteBucket([]byte("entries")); err != nil {
					return err
				}
			}
			return tx.Bucket([]byte("go-mtasts store")).Put([]byte("version"), v)
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for v, words := range map[byte][]string{
		3: {"format version 3", "knows version 4", "move it away"},
		5: {"format version 5", "knows version 4", "the program that wrote it"},
	} {
		setVersion([]byte{v})
		wantOpenError(t, path, words...)
	}
	for _, v := range [][]byte{{0}, {}, {4, 0}, {4}} { // {4}: but without entries
		setVersion(v)
		wantOpenError(t, path, "damaged", "backup")
	}
}

// The log of a format that was never released may hold entries that are nowhere else.
func TestOpenBoltWithTheLogOfAnOldFormat(t *testing.T) {
	for _, what := range []string{"with its store", "alone"} {
		path := filepath.Join(t.TempDir(), "store.db")
		if what == "with its store" {
			openBolt(t, path).Close()
		}
		if err := os.WriteFile(path+"-wal", []byte("log"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantOpenError(t, path, fmt.Sprintf("%q", path+"-wal"), "never released", "move it and the store away")
	}
}

// A file of another program stays as it is, even one without a list of free pages, which bbolt
// would add.
func TestOpenBoltChangesNoFileOfAnotherProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("key"))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, path, "another program")
}

// Damage that shows when the file is opened is an error.
func TestOpenBoltDamaged(t *testing.T) {
	f := newGoodFile(t, 200)
	ne := binary.NativeEndian
	page := int(ne.Uint32(f.bytes[24:]))
	garbage := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(garbage)
	for name, change := range map[string]func(b []byte) []byte{
		"one octet":             func(b []byte) []byte { return b[:1] },
		"text":                  func(b []byte) []byte { return []byte("version: STSv1\n") },
		"garbage":               func(b []byte) []byte { return garbage },
		"zeros":                 func(b []byte) []byte { return make([]byte, len(b)) },
		"an SQLite file":        func(b []byte) []byte { return append([]byte("SQLite format 3\x00"), garbage...) },
		"cut in meta page 0":    func(b []byte) []byte { return b[:50] },
		"cut after meta page 0": func(b []byte) []byte { return b[:page] },
		"cut in meta page 1":    func(b []byte) []byte { return b[:page+50] },
		"cut after the metas":   func(b []byte) []byte { return b[:2*page] },
		"cut in the middle":     func(b []byte) []byte { return b[:f.end()/2] },
		"one octet is missing":  func(b []byte) []byte { return b[:f.end()-1] },
		"no meta pages":         func(b []byte) []byte { clear(b[:2*page]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			if err := os.WriteFile(path, change(bytes.Clone(f.bytes)), 0o600); err != nil {
				t.Fatal(err)
			}
			wantOpenError(t, path, "damaged", "backup", "move it away")
		})
	}
}

// A store opens with one of its two meta pages damaged.
func TestOpenBoltWithOneMetaPage(t *testing.T) {
	f := newGoodFile(t, 60)
	page := int(binary.NativeEndian.Uint32(f.bytes[24:]))
	for _, at := range []int{0, page} {
		path := filepath.Join(t.TempDir(), "store.db")
		b := bytes.Clone(f.bytes)
		clear(b[at:][:page])
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openBolt(t, path)
		if err := inHour(s, "example.com", "value"); err != nil {
			t.Error(err)
		}
	}
}
