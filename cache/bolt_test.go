package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	bolt "go.etcd.io/bbolt"
)

// inHour calls Put with times that keep the entry for an hour.
func inHour(s *cache.Bolt, key, value string) error {
	return s.Put(context.Background(), key, []byte(value), time.Now(), time.Now().Add(time.Hour))
}

// remove deletes what is under key, whenever that was fetched.
func remove(s *cache.Bolt, key string) error {
	return s.Delete(context.Background(), key, time.Now().Add(time.Hour))
}

// checkFile has bbolt check the file at path.
func checkFile(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt finds: %v", err)
		}
		return nil
	})
}

func TestBoltDropsWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "store.db")
		s := openBolt(t, path)
		testDropsExpired(t, 1000, s.Put, s.Scan) // some 500 of them in the log
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		checkFile(t, path)
		if info, err := os.Stat(path); err != nil || info.Size() > 1<<20 {
			t.Errorf("after 3000 entries of which 300 lived at a time, the file has %d octets, %v", info.Size(), err)
		}
	})
}

func TestBoltWritesNothingForNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	now := time.Now()
	ctx := context.Background()
	s := openBolt(t, path)
	if err := s.Put(ctx, "example.com", []byte("held"), now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s = openBolt(t, path)
	err = errors.Join(
		s.Put(ctx, "example.com", []byte("older"), now.Add(-1), now.Add(time.Hour)),
		s.Put(ctx, "example.com", []byte("held"), now, now.Add(time.Hour)),
		remove(s, "example.net"),
	)
	if err != nil {
		t.Error(err)
	}
	s.Close()
	wantUntouched(t, path, before)
}

func TestBoltClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	if err := inHour(s, "first.example", "value"); err != nil {
		t.Fatal(err)
	}
	// Whatever is under way when Close is called either works or fails clearly,
	// and what is reported as stored is stored.
	ctx := context.Background()
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored := []string{"first.example"}
	started := make(chan struct{}, 30)
	closed := func(err error) bool {
		if err != nil && (!errors.Is(err, fs.ErrClosed) || !strings.Contains(err.Error(), "closed")) {
			t.Errorf("error after Close: %v", err)
		}
		return err != nil
	}
	for w := range 10 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d.%d.example", w, i)
				err := inHour(s, key, "value")
				select {
				case started <- struct{}{}:
				default:
				}
				if closed(err) {
					return
				}
				mu.Lock()
				stored = append(stored, key)
				mu.Unlock()
			}
		})
		wg.Go(func() {
			for {
				value, ok, err := s.Get(ctx, "first.example")
				if closed(err) {
					return
				}
				if !ok || string(value) != "value" {
					t.Errorf("Get = %q, %v", value, ok)
				}
			}
		})
	}
	for range cap(started) {
		<-started
	}
	for range 3 {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	wg.Wait()
	_, _, err := s.Scan(ctx, "", 1)
	for _, err := range []error{err, remove(s, "first.example"), inHour(s, "late.example", "")} {
		if !closed(err) {
			t.Error("a method works after Close")
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("another Close: %v", err)
	}
	checkFile(t, path)
	s = openBolt(t, path)
	for _, key := range stored {
		if _, ok, err := s.Get(ctx, key); !ok || err != nil {
			t.Errorf("Get(%q) = %v, %v, though it was reported as stored", key, ok, err)
		}
	}
}

// Whatever happens to the file while it is open, there is an error and neither
// a panic nor a call that does not return.
func TestBoltFileChangedWhileOpen(t *testing.T) {
	f := newGoodFile(t, 300)
	other := newGoodFile(t, 20)
	ctx := context.Background()
	for name, change := range map[string]func(t *testing.T, path string) error{
		"emptied":            func(t *testing.T, path string) error { return os.Truncate(path, 0) },
		"cut to one page":    func(t *testing.T, path string) error { return os.Truncate(path, int64(os.Getpagesize())) },
		"cut to two pages":   func(t *testing.T, path string) error { return os.Truncate(path, 2*int64(os.Getpagesize())) },
		"cut to an eighth":   func(t *testing.T, path string) error { return os.Truncate(path, int64(len(f.bytes)/8)) },
		"cut by a page":      func(t *testing.T, path string) error { return os.Truncate(path, f.end()-1) },
		"zeroed":             func(t *testing.T, path string) error { return overwrite(path, make([]byte, len(f.bytes))) },
		"filled with ones":   func(t *testing.T, path string) error { return overwrite(path, bytes.Repeat([]byte{255}, len(f.bytes))) },
		"another store":      func(t *testing.T, path string) error { return os.WriteFile(path, other.bytes, 0o600) },
		"another one inside": func(t *testing.T, path string) error { return overwrite(path, other.bytes) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			if err := os.WriteFile(path, f.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := cache.OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			if f.check(t, s) > 0 {
				t.Error("errors before the change")
			}
			stop, changed := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			for w := range 4 { // some calls are under way at the moment itself
				wg.Go(func() {
					for i := 0; ; i++ {
						for key, want := range f.values {
							if got, ok, err := s.Get(ctx, key); err == nil && ok && string(got) != want && other.values[key] != string(got) && string(got) != "new" {
								t.Errorf("%q has another value", key)
							}
							if w == 0 {
								inHour(s, key, "new")
							}
							break
						}
						select {
						case <-changed:
							return
						default:
						}
					}
				})
			}
			err = change(t, path)
			close(changed)
			if err != nil {
				t.Error(err)
			}
			wg.Wait()
			close(stop)
			errs := 0
			for key := range f.values {
				_, _, err := s.Get(ctx, key)
				for _, err := range []error{err, inHour(s, key, "new"), remove(s, key)} {
					if err != nil {
						errs++
						if !strings.Contains(err.Error(), "damaged") {
							t.Errorf("%v does not say that the file is damaged", err)
						}
					}
				}
			}
			s.Scan(ctx, "", 1000)
			if errs == 0 {
				t.Error("no error")
			}
			// What was stored just before the change is left in the log.
			if err := s.Close(); err != nil && !strings.Contains(err.Error(), path+"-wal") {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// A file that is not the one that was opened is not written to.
func TestBoltFileReplacedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := cache.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	other := newGoodFile(t, 20)
	if err := os.WriteFile(path, other.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{inHour(s, "example.com", "new"), remove(s, "example.com")} {
		if err == nil || !strings.Contains(err.Error(), "another program") {
			t.Errorf("error %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantUntouched(t, path, other.bytes)
	if other.check(t, openBolt(t, path)) != 0 {
		t.Error("the other store is damaged")
	}
}

// overwrite writes data over what is in the file, and leaves what is behind it.
func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Close())
}

// A damaged entry is repaired by writing it anew, and removed by Delete.
func TestBoltRepairsADamagedEntry(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	for _, key := range []string{"a.example", "b.example", "c.example"} {
		if err := inHour(s, key, "value of "+key); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file = bytes.ReplaceAll(file, []byte("value of b.example"), []byte("valve of b.example"))
	file = bytes.ReplaceAll(file, []byte("value of c.example"), []byte("valve of c.example"))
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}

	s = openBolt(t, path)
	if v, ok, err := s.Get(ctx, "a.example"); !ok || err != nil {
		t.Errorf("the entry beside the damaged one: %q, %v, %v", v, ok, err)
	}
	for _, key := range []string{"b.example", "c.example"} {
		if v, ok, err := s.Get(ctx, key); ok || err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), path) {
			t.Errorf("Get(%q) = %q, %v, %v; want an error that names the entry and the file", key, v, ok, err)
		}
	}
	if err := errors.Join(inHour(s, "b.example", "new"), remove(s, "c.example")); err != nil {
		t.Fatal(err)
	}
	keys, values, err := s.Scan(ctx, "", 10)
	if err != nil || len(keys) != 2 || string(values[1]) != "new" {
		t.Errorf("Scan = %q, %q, %v", keys, values, err)
	}
}

func openBolt(tb testing.TB, path string) *cache.Bolt {
	tb.Helper()
	s, err := cache.OpenBolt(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
