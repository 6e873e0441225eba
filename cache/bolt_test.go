package cache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// A call during Close works or returns a clear error. What Write reported as stored is stored.
func TestBoltClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	if err := inHour(s, "first.example", "value"); err != nil {
		t.Fatal(err)
	}
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
	for _, err := range []error{err, remove(s, "first.example"), inHour(s, "late.example", ""), s.Backup(new(bytes.Buffer))} {
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

// slowly is a writer that receives from next before each write.
type slowly struct {
	bytes.Buffer
	next chan struct{}
}

func (w *slowly) Write(p []byte) (int, error) {
	<-w.next
	return w.Buffer.Write(p)
}

// A backup is the state of one moment, and OpenBolt opens it. It delays neither readers nor
// writers, even while the file grows.
func TestBoltBackup(t *testing.T) {
	dir := t.TempDir()
	s := openBolt(t, filepath.Join(dir, "store.db"))
	now := time.Now()
	write := func(from, to, generation int) {
		t.Helper()
		var changes []cache.Change
		for i := from; i < to; i++ {
			value := bytes.Repeat(fmt.Appendf(nil, "%d,", generation), 500)
			changes = append(changes, cache.Change{Key: fmt.Sprintf("%d.example", i), Value: value, Fetched: now, Expires: now.Add(time.Hour)})
		}
		if err := s.Write(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 100, 1)
	w := &slowly{next: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- s.Backup(w) }()
	w.next <- struct{}{} // it has begun
	for i := range 50 {
		write(100*i, 100*i+100, 2) // 5 MB
		if _, ok, err := s.Get(t.Context(), "1.example"); !ok || err != nil {
			t.Fatalf("Get = %v, %v", ok, err)
		}
	}
	close(w.next)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(copied, w.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	checkFile(t, copied)
	keys, values, err := openBolt(t, copied).Scan(t.Context(), "", 10_000)
	if len(keys) != 100 || err != nil {
		t.Fatalf("%d entries, %v; want the 100 of the moment at which the backup began", len(keys), err)
	}
	for i, value := range values {
		if !bytes.HasPrefix(value, []byte("1,")) {
			t.Errorf("%q has a later value", keys[i])
		}
	}
	if err := s.Backup(failing{}); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("Backup = %v, want the error of the writer", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no room") }

// A Write that waits for another Write ends with its ctx.
func TestBoltWriteEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	var writers sync.WaitGroup
	defer writers.Wait()
	stop := make(chan struct{})
	defer close(stop)
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					inHour(s, "busy.example", strings.Repeat("x", 60_000))
				}
			}
		})
	}
	for i := 0; ; i++ {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		err := s.Write(ctx, []cache.Change{{Key: "example.com", Value: []byte("x"), Fetched: time.Now(), Expires: time.Now()}})
		cancel()
		if errors.Is(err, context.Canceled) {
			return
		}
		if err != nil || i > 10_000 {
			t.Fatalf("Write = %v after %d others", err, i)
		}
	}
}

// Writing a damaged entry again repairs it. Removing it works, too.
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
	// A miss beside them is an error, and so is a write.
	if _, ok, err := s.Get(ctx, "bb.example"); ok || err == nil {
		t.Errorf("Get beside a damaged entry = %v, %v; want an error", ok, err)
	}
	if err := inHour(s, "bb.example", "value"); err == nil {
		t.Error("Write beside a damaged entry: no error")
	}
	if err := errors.Join(inHour(s, "b.example", "new"), remove(s, "c.example")); err != nil {
		t.Fatal(err)
	}
	keys, values, err := s.Scan(ctx, "", 10)
	if err != nil || len(keys) != 2 || string(values[1]) != "new" {
		t.Errorf("Scan = %q, %q, %v", keys, values, err)
	}
}

// A page that cannot be read is an error for the entries in it, and for no others. Scan
// continues after it. Later writes fail, and Close returns.
func TestBoltDamagedPage(t *testing.T) {
	f := newGoodFile(t, 300)
	ne := binary.NativeEndian
	size := int(ne.Uint32(f.bytes[24:]))
	const leaf = 2
	for name, damage := range map[string]func(page []byte){
		"number": func(page []byte) { page[0] ^= 1 },
		"kind":   func(page []byte) { page[8] = 0x20 },
		"zeros":  func(page []byte) { clear(page) },
	} {
		t.Run(name, func(t *testing.T) {
			for at := 2 * size; at < int(f.end()); at += size {
				if int(ne.Uint64(f.bytes[at:])) != at/size || ne.Uint16(f.bytes[at+8:]) != leaf || ne.Uint16(f.bytes[at+10:]) < 3 {
					continue
				}
				file := bytes.Clone(f.bytes)
				damage(file[at:][:size])
				path := filepath.Join(t.TempDir(), "store.db")
				newInode(t, path, file)
				s, err := cache.OpenBolt(path)
				if err != nil {
					wantClear(t, path, err)
					continue
				}
				r := f.check(t, s)
				if r.hides() {
					t.Errorf("page %d: %+v", at/size, r)
				}
				keys, _, _ := s.Scan(t.Context(), "", 1000)
				if r.errs > 0 && len(keys) < len(f.values)*3/4 {
					t.Errorf("page %d: Scan finds %d of %d entries", at/size, len(keys), len(f.values))
				}
				if err := inHour(s, keys[0], "new"); (err != nil) != (r.errs > 0) {
					t.Errorf("page %d: after %d errors, Write = %v", at/size, r.errs, err)
				}
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
		})
	}
}

// If a file is truncated or overwritten while it is open, later calls return errors. They
// neither panic nor hang.
func TestBoltFileChangedWhileOpen(t *testing.T) {
	f := newGoodFile(t, 300)
	overwrite := func(path string, data []byte) error {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteAt(data, 0)
		return errors.Join(err, file.Close())
	}
	for name, change := range map[string]func(path string) error{
		"emptied":          func(path string) error { return os.Truncate(path, 0) },
		"cut to two pages": func(path string) error { return os.Truncate(path, 2*int64(os.Getpagesize())) },
		"cut to an eighth": func(path string) error { return os.Truncate(path, f.end()/8) },
		"zeroed":           func(path string) error { return overwrite(path, make([]byte, len(f.bytes))) },
		"filled with ones": func(path string) error { return overwrite(path, bytes.Repeat([]byte{255}, len(f.bytes))) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			newInode(t, path, f.bytes)
			s, err := cache.OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			r := f.check(t, s)
			if r.errs == 0 || r.hides() {
				t.Errorf("%+v", r)
			}
			for key := range f.values {
				if err := inHour(s, key, "new"); err == nil || !strings.Contains(err.Error(), "damaged") {
					t.Errorf("Write = %v", err)
				}
			}
			if err := s.Backup(new(bytes.Buffer)); err == nil {
				t.Error("Backup: no error")
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}
