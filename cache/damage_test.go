package cache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// .ci/run damages 2,000 files.
var damageSeeds = flag.Int("damage.seeds", 200, "how many files TestBoltSurvivesDamage damages")

// A goodFile is the file of a store with several levels of pages, values that take several
// pages, and free pages.
type goodFile struct {
	bytes  []byte
	values map[string]string
	once   map[string]string // values, and those that were removed
}

// newGoodFile makes a file with about the given number of entries.
func newGoodFile(tb testing.TB, entries int) goodFile {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "good.db")
	s, err := cache.OpenBolt(path)
	if err != nil {
		tb.Fatal(err)
	}
	f := goodFile{values: map[string]string{}, once: map[string]string{}}
	rnd := rand.New(rand.NewPCG(1, 2))
	var gone []string
	for i := range entries * 7 / 6 {
		key := fmt.Sprintf("d%d.example", rnd.IntN(1000000))
		size := 100 + rnd.IntN(300)
		if i%50 == 20 {
			size = 5000 + rnd.IntN(20000)
		}
		f.values[key] = strings.Repeat("mx: mail."+key+"\n", size/10)[:size]
		f.once[key] = f.values[key]
		if i%7 == 3 {
			gone = append(gone, key)
		}
	}
	// In steps, so that pages become free and are used again.
	now, third, keys := time.Now(), len(f.values)/3, slices.Sorted(maps.Keys(f.values))
	write := func(remove bool, keys []string) {
		var changes []cache.Change
		for _, key := range keys {
			c := cache.Change{Key: key, Fetched: now, Expires: now.Add(time.Hour)}
			if !remove {
				c.Value = []byte(f.values[key])
			}
			changes = append(changes, c)
		}
		if err := s.Write(context.Background(), changes); err != nil {
			tb.Fatal(err)
		}
	}
	write(false, keys[:third])
	write(false, keys[third:])
	write(false, keys[:third])
	write(true, gone)
	for _, key := range gone {
		delete(f.values, key)
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	if f.bytes, err = os.ReadFile(path); err != nil {
		tb.Fatal(err)
	}
	return f
}

// end returns where the last page ends.
func (f goodFile) end() int64 {
	ne := binary.NativeEndian
	size := ne.Uint32(f.bytes[24:])
	first, second := f.bytes[16:], f.bytes[size+16:]
	if ne.Uint64(first[48:]) < ne.Uint64(second[48:]) { // the later transaction
		first = second
	}
	return int64(ne.Uint64(first[40:])) * int64(size)
}

// A report counts what was wrong when a whole store was read.
type report struct {
	errs   int
	absent int // entries that are silently absent
	old    int // values that were replaced or removed, or that a failed Write may have left
}

// hides reports whether the store returned something wrong without an error.
func (r report) hides() bool { return r.absent+r.old > 0 }

// check reads all of s, and counts where it differs from f. It fails the test for a value that
// was never written.
func (f goodFile) check(t *testing.T, s *cache.Bolt) (r report) {
	t.Helper()
	ctx := context.Background()
	for key, want := range f.values {
		got, ok, err := s.Get(ctx, key)
		switch {
		case err != nil:
			r.errs++
		case !ok:
			r.absent++
		case string(got) != want:
			r.old++
			f.wantOnceWritten(t, key, got)
		}
		if _, ok, err := s.Get(ctx, "x"+key); err == nil && ok {
			t.Errorf("%q is there", "x"+key)
		}
	}
	// With a low limit, Scan goes on in the middle of pages.
	for _, limit := range []int{50, 3} {
		found, errs := 0, 0
		for after := ""; ; {
			keys, values, err := s.Scan(ctx, after, limit)
			if err != nil {
				errs++
			}
			for i, key := range keys {
				if key <= after {
					t.Errorf("Scan returned %q after %q", key, after)
				}
				if want, ok := f.values[key]; !ok || string(values[i]) != want {
					r.old++
					f.wantOnceWritten(t, key, values[i])
				}
				after = key
			}
			found += len(keys)
			if len(keys) < limit {
				break
			}
		}
		r.errs += errs
		if found < len(f.values) && errs == 0 {
			r.absent++
		}
	}
	return r
}

// wantOnceWritten fails the test unless value was written under key at some time.
func (f goodFile) wantOnceWritten(t *testing.T, key string, value []byte) {
	t.Helper()
	if string(value) != "new" && string(value) != f.once[key] {
		t.Errorf("%q has a value that was never written, of %d octets", key, len(value))
	}
}

// harm returns a randomly damaged copy of file.
func harm(rnd *rand.Rand, file []byte) []byte {
	file = bytes.Clone(file)
	size := int(binary.NativeEndian.Uint32(file[24:]))
	page := func() []byte { return file[rnd.IntN(len(file)/size)*size:][:size] }
	fill := func(b []byte) {
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
	}
	switch rnd.IntN(8) {
	case 0, 1, 2: // bits
		for range 1 + rnd.IntN(30) {
			file[rnd.IntN(len(file))] ^= 1 << rnd.IntN(8)
		}
	case 3: // octets
		for range 1 + rnd.IntN(30) {
			file[rnd.IntN(len(file))] = byte(rnd.Uint32())
		}
	case 4: // octets in the heads of pages, where they matter most
		for range 1 + rnd.IntN(5) {
			page()[rnd.IntN(64)] = byte(rnd.Uint32())
		}
	case 5: // sectors
		const sector = 512
		for range 1 + rnd.IntN(3) {
			b := file[rnd.IntN(len(file)/sector)*sector:][:sector]
			if clear(b); rnd.IntN(2) == 0 {
				fill(b)
			}
		}
	case 6: // pages
		for range 1 + rnd.IntN(3) {
			switch b := page(); rnd.IntN(3) {
			case 0:
				clear(b)
			case 1:
				fill(b)
			case 2:
				copy(b, page())
			}
		}
	case 7: // the end is missing
		file = file[:rnd.IntN(len(file))]
	}
	return file
}

// Random damage causes neither a panic nor a value that was never written. If a store cannot
// be opened, the error says what is wrong, and the file stays as it is. In at most one file
// of a hundred, an entry is silently absent or old.
func TestBoltSurvivesDamage(t *testing.T) {
	f := newGoodFile(t, 60)
	f.bytes = f.bytes[:f.end()] // the rest is unused
	path := filepath.Join(t.TempDir(), "store.db")
	var opened, damaged, absent, old int
	for seed := range *damageSeeds {
		file := harm(rand.New(rand.NewPCG(uint64(seed), 0)), f.bytes)
		if len(file) == 0 {
			continue // this would become a new store
		}
		newInode(t, path, file)
		s, err := cache.OpenBolt(path)
		if err != nil {
			wantClear(t, path, err)
			wantUntouched(t, path, file)
			continue
		}
		r := f.check(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantUntouched(t, path, file)
		opened += 1
		damaged += min(r.errs, 1)
		absent += min(r.absent, 1)
		old += min(r.old, 1)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("of %d files %d opened, %d of them with errors; %d hide an entry, and %d show an old value", *damageSeeds, opened, damaged, absent, old)
	if absent+old > max(1, *damageSeeds/100) {
		t.Error("want one of a hundred at most")
	}
	if damaged < *damageSeeds/4 || opened == *damageSeeds {
		t.Error("the damage is too much or too little for the test to mean something")
	}
}

// If only values are damaged, a write works or fails, and damages nothing else.
func TestBoltWritesBesideDamagedValues(t *testing.T) {
	f := newGoodFile(t, 60)
	keys := slices.Sorted(maps.Keys(f.values))
	path := filepath.Join(t.TempDir(), "store.db")
	for seed := range *damageSeeds / 10 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 0))
		file, hurt := bytes.Clone(f.bytes), map[string]bool{}
		for range 1 + rnd.IntN(5) {
			key := keys[rnd.IntN(len(keys))]
			// This also damages old copies in free pages, which has no effect.
			file = bytes.ReplaceAll(file, []byte("mx: mail."+key+"\n"), []byte("mx: mall."+key+"\n"))
			hurt[key] = true
		}
		newInode(t, path, file)
		s := openBolt(t, path)
		after := goodFile{values: maps.Clone(f.values), once: f.once}
		for _, key := range keys {
			switch rnd.IntN(4) {
			case 0:
				if err := inHour(s, key, "new"); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				after.values[key] = "new"
				delete(hurt, key)
			case 1:
				if err := remove(s, key); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				delete(after.values, key)
				delete(hurt, key)
			}
			if err := inHour(s, key+"x", "new"); err == nil {
				after.values[key+"x"] = "new"
			}
		}
		for range 2 {
			for key := range after.values {
				if _, _, err := s.Get(t.Context(), key); (err != nil) != hurt[key] {
					t.Errorf("seed %d: Get(%q): %v; damaged: %v", seed, key, err, hurt[key])
				}
			}
			if r := after.check(t, s); r.hides() {
				t.Errorf("seed %d: %+v", seed, r)
			}
			s.Close()
			checkFile(t, path)
			s = openBolt(t, path)
		}
	}
}

func wantUntouched(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file was changed: %d octets, %d before, %v", len(got), len(want), err)
	}
}

// newInode puts a new file at path.
func newInode(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantClear fails the test unless err names path and says what is wrong.
func wantClear(t *testing.T, path string, err error) {
	t.Helper()
	for _, what := range []string{"the file is damaged", "format version", "another program"} {
		if strings.Contains(err.Error(), what) && strings.Contains(err.Error(), fmt.Sprintf("%q", path)) {
			return
		}
	}
	t.Errorf("the error does not say what is wrong, and where: %v", err)
}
