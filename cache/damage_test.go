package cache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// A goodFile is the file of a store with everything that such a file can have:
// several levels of pages, pages that go on in others, free pages.
type goodFile struct {
	bytes  []byte
	values map[string]string
}

// newGoodFile makes a file with about the given number of entries.
func newGoodFile(tb testing.TB, entries int) goodFile {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "good.db")
	s, err := cache.OpenBolt(path)
	if err != nil {
		tb.Fatal(err)
	}
	f := goodFile{values: map[string]string{}}
	rnd := rand.New(rand.NewPCG(1, 2))
	var gone []string
	for i := range entries * 7 / 6 {
		key := fmt.Sprintf("d%d.example", rnd.IntN(1000000))
		size := 100 + rnd.IntN(300)
		if i%50 == 20 {
			size = 5000 + rnd.IntN(20000)
		}
		f.values[key] = strings.Repeat("mx: mail."+key+"\n", size/10)[:size]
		if i%3 == 0 { // as with several others
			f.values[key] = key[:5] + sharedText(i%5)
		}
		if i%7 == 3 {
			gone = append(gone, key)
		}
	}
	// In three steps, so that pages become free and are used again.
	third := len(f.values) / 3
	keys := f.keys()
	n := 0
	for _, keys := range [][]string{keys[:third], keys[third:], keys[:third]} {
		n += len(atOnce(keys, func(key string) error { return sharedInHour(s, key, f.values[key]) }))
	}
	if n != len(keys)+third || len(atOnce(gone, func(key string) error { return remove(s, key) })) != len(gone) {
		tb.Fatal("an entry could not be written")
	}
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

// sharedText is what the values of many entries end with.
func sharedText(n int) string { return strings.Repeat(fmt.Sprintf("mx: mx%d.example\n", n), 10) }

// sharedInHour is inHour by PutShared.
func sharedInHour(s *cache.Bolt, key, value string) error {
	return s.PutShared(context.Background(), key, []byte(value), min(5, len(value)), time.Now(), time.Now().Add(time.Hour))
}

// clone returns a copy of f whose values may be changed.
func (f goodFile) clone() goodFile { return goodFile{f.bytes, maps.Clone(f.values)} }

// end returns where the last page ends.
func (f goodFile) end() int64 {
	ne := binary.NativeEndian
	size := ne.Uint32(f.bytes[24:])
	pages := func(meta []byte) uint64 { return ne.Uint64(meta[16+40:]) }
	if first, second := f.bytes, f.bytes[size:]; ne.Uint64(first[16+48:]) > ne.Uint64(second[16+48:]) {
		return int64(pages(first)) * int64(size)
	} else {
		return int64(pages(second)) * int64(size)
	}
}

func (f goodFile) keys() []string { return slices.Sorted(maps.Keys(f.values)) }

// atOnce calls fn for all keys at once, which lets the store share its
// transactions, and returns the keys for which there was no error.
func atOnce(keys []string, fn func(key string) error) (done []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, key := range keys {
		wg.Go(func() {
			if fn(key) == nil {
				mu.Lock()
				done = append(done, key)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return done
}

// check demands that s holds the values of f, but for entries that it reports
// an error for, and that Scan finds all that Get finds. It returns the number of
// errors.
func (f goodFile) check(t *testing.T, s *cache.Bolt) (errs int) {
	t.Helper()
	ctx := context.Background()
	readable := map[string]bool{}
	for key, want := range f.values {
		got, ok, err := s.Get(ctx, key)
		switch {
		case err != nil:
			errs++
			if strings.Contains(err.Error(), "runtime error") {
				t.Errorf("%q: a panic: %v", key, err)
			}
		case !ok:
			t.Errorf("%q is silently gone", key)
		case string(got) != want:
			t.Errorf("%q has another value, %d octets instead of %d", key, len(got), len(want))
		default:
			readable[key] = true
		}
		if _, ok, err := s.Get(ctx, "x"+key); err == nil && ok {
			t.Errorf("%q is there", "x"+key)
		}
	}
	// With a low limit, Scan goes on in the middle of pages.
	return errs + f.checkScan(t, s, maps.Clone(readable), 50) + f.checkScan(t, s, readable, 3)
}

// checkScan demands that Scan, limit entries at a time, finds all that is readable.
func (f goodFile) checkScan(t *testing.T, s *cache.Bolt, readable map[string]bool, limit int) (errs int) {
	t.Helper()
	ctx := context.Background()
	n := 0
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
				t.Errorf("Scan found another value of %q, %d octets instead of %d", key, len(values[i]), len(want))
			}
			delete(readable, key)
			after = key
		}
		n += len(keys)
		if len(keys) > limit {
			t.Errorf("Scan returned %d entries, limit %d", len(keys), limit)
		}
		if len(keys) < limit {
			break // there are no more
		}
	}
	if n != len(f.values) && errs == 0 {
		t.Errorf("Scan found %d entries of %d, and no error", n, len(f.values))
	}
	if len(readable) > 0 {
		t.Errorf("Scan missed %d entries that Get finds", len(readable))
	}
	return errs
}

func wantUntouched(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file was changed: %d octets, %d before, %v", len(got), len(want), err)
	}
}

// TestBoltDamagedPage damages single pages of entries. What is not below the
// page can be read and written as before, and what is below it is an error.
func TestBoltDamagedPage(t *testing.T) {
	f := newGoodFile(t, 200)
	ne := binary.NativeEndian
	size := int(ne.Uint32(f.bytes[24:]))
	for name, damage := range map[string]func(page []byte){
		"number":              func(page []byte) { page[0] ^= 1 },
		"kind":                func(page []byte) { page[8] ^= 4 },
		"no kind":             func(page []byte) { page[8] = 0 },
		"no elements":         func(page []byte) { page[10] = 0 },
		"an element less":     func(page []byte) { page[10]-- },
		"an element more":     func(page []byte) { page[10]++ },
		"many elements":       func(page []byte) { page[11] = 0xFF },
		"a further page":      func(page []byte) { page[12]++ },
		"many further pages":  func(page []byte) { page[15] = 0xFF },
		"offset of the first": func(page []byte) { page[16+4]++ },
		"size of a key":       func(page []byte) { page[16+8]++ },
		"no key":              func(page []byte) { ne.PutUint32(page[16+8:], 0) },
		"large key":           func(page []byte) { page[16+11] = 0xFF },
		"size of a value":     func(page []byte) { page[16+12]++ },
		"large value":         func(page []byte) { page[16+15] = 0xFF },
		"first key":           func(page []byte) { page[16+int(ne.Uint32(page[16+4:]))] ^= 1 },
		"a key out of order": func(page []byte) {
			i := 16 + 16*int(page[10]/2)
			page[i+int(ne.Uint32(page[i+4:]))] = 'z'
		},
		"all of it": func(page []byte) { clear(page[:size]) },
	} {
		t.Run(name, func(t *testing.T) {
			file := bytes.Clone(f.bytes)
			// The leaf that holds this key, or one that held it once.
			var victim string
			for key := range f.values {
				victim = max(victim, key) // not in the root, not the first leaf
			}
			n := 0
			for at := 2 * size; at < len(file); at += size {
				if ne.Uint16(file[at+8:]) == 2 && bytes.Contains(file[at:at+size], []byte(victim)) {
					damage(file[at:])
					n++
				}
			}
			if n == 0 {
				t.Fatal("no leaf found")
			}
			path := filepath.Join(t.TempDir(), "store.db")
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			s := openBolt(t, path)
			if errs := f.check(t, s); errs == 0 || errs > 40 {
				t.Errorf("%d errors", errs)
			}
			for _, err := range []error{inHour(s, victim, "new"), remove(s, victim), inHour(s, victim+"x", "new")} {
				if err == nil || !strings.Contains(err.Error(), "damaged") {
					t.Errorf("writing to the damaged page: %v", err)
				}
			}
			if err := inHour(s, "0.example", "new"); err != nil {
				t.Errorf("writing to another page: %v", err)
			}
			// Wherever else something is written, it hides nothing.
			after := f.clone()
			after.values["0.example"] = "new"
			var beside []string
			for _, key := range f.keys() {
				beside = append(beside, key+"x", key[:len(key)-1])
			}
			for _, key := range atOnce(beside, func(key string) error { return inHour(s, key, "new") }) {
				after.values[key] = "new"
			}
			after.check(t, s)
		})
	}
}

// TestBoltDamagedKey damages each key: of the pages above the entries, so that the way
// to an entry is wrong, and of the entries themselves. The key becomes greater or less.
func TestBoltDamagedKey(t *testing.T) {
	f := newGoodFile(t, 100)
	ne := binary.NativeEndian
	size := int(ne.Uint32(f.bytes[24:]))
	path := filepath.Join(t.TempDir(), "store.db")
	const branch, leaf = 1, 2
	for at := 2 * size; at < len(f.bytes); at += size {
		kind := ne.Uint16(f.bytes[at+8:])
		if kind != branch && kind != leaf || ne.Uint64(f.bytes[at:]) != uint64(at/size) {
			continue
		}
		for i := range int(ne.Uint16(f.bytes[at+10:])) {
			element := at + 16 + 16*i
			key := element + int(ne.Uint32(f.bytes[element:]))
			if kind == leaf {
				key = element + int(ne.Uint32(f.bytes[element+4:]))
			}
			for i, bit := range []byte{2, 4, 2, 4} { // of the first octet and the second
				file := bytes.Clone(f.bytes)
				file[key+i/2] ^= bit
				os.Remove(path)
				if err := os.WriteFile(path, file, 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := cache.OpenBolt(path)
				if err != nil {
					continue
				}
				f.check(t, s)
				if kind == branch {
					after := f.clone()
					for _, key := range atOnce(f.keys(), func(key string) error { return inHour(s, key, "new") }) {
						after.values[key] = "new"
					}
					after.check(t, s)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// TestBoltOldPage turns the number of a page into that of any other one with the same
// first key: what the page was before, which is sound but for its age.
func TestBoltOldPage(t *testing.T) {
	f := newGoodFile(t, 100)
	ne := binary.NativeEndian
	size := int(ne.Uint32(f.bytes[24:]))
	const branch, leaf = 1, 2
	type element struct{ page, at int } // at is where the element says how far its key is
	firsts := map[string][]int{}        // the pages by their first keys
	var children []element
	key := func(e element, what uint16) string {
		at := e.at + int(ne.Uint32(f.bytes[e.at:]))
		size := ne.Uint32(f.bytes[e.at+4:])
		if what == leaf {
			at = e.at + int(ne.Uint32(f.bytes[e.at+4:]))
			size = ne.Uint32(f.bytes[e.at+8:])
		}
		return string(f.bytes[at:][:size])
	}
	for at := 2 * size; at < len(f.bytes); at += size {
		kind, count := ne.Uint16(f.bytes[at+8:]), int(ne.Uint16(f.bytes[at+10:]))
		if kind != branch && kind != leaf || count == 0 || ne.Uint64(f.bytes[at:]) != uint64(at/size) {
			continue
		}
		first := key(element{at, at + 16}, kind)
		firsts[first] = append(firsts[first], at/size)
		for i := range count {
			if kind == branch {
				children = append(children, element{at, at + 16 + 16*i})
			}
		}
	}
	path := filepath.Join(t.TempDir(), "store.db")
	errs := 0
	for _, c := range children {
		for _, page := range firsts[key(c, branch)] {
			file := bytes.Clone(f.bytes)
			ne.PutUint64(file[c.at+8:], uint64(page))
			newInode(t, path, file)
			s := openBolt(t, path)
			errs += f.check(t, s)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if errs == 0 {
		t.Error("no page that counts has an older copy")
	}
}
