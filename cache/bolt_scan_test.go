package cache_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// walk scans the whole store in steps of limit, as its users do: as long as there are
// keys. It returns what was found, and whether there was an error.
func walk(t *testing.T, s *cache.Bolt, limit int) (found []string, damaged bool) {
	t.Helper()
	for after := ""; ; after = found[len(found)-1] {
		keys, values, err := s.Scan(t.Context(), after, limit)
		if err != nil {
			damaged = true
			if !strings.Contains(err.Error(), "damaged") {
				t.Errorf("the error does not say what is wrong: %v", err)
			}
		}
		for i, key := range keys {
			if string(values[i]) != "value of "+key {
				t.Errorf("the value of %q is %q", key, values[i])
			}
		}
		if len(keys) == 0 {
			return found, damaged
		}
		found = append(found, keys...)
	}
}

// newFile returns the file of a store of n entries.
func newFile(t *testing.T, n int, key func(i int) string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	var keys []string
	for i := range n {
		keys = append(keys, key(i))
	}
	if len(atOnce(keys, func(key string) error { return inHour(s, key, "value of "+key) })) != n {
		t.Fatal("an entry could not be written")
	}
	s.Close()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Damaged entries hide none of the others, wherever they are and however large the
// steps.
func TestBoltScanPassesDamagedEntries(t *testing.T) {
	const n = 60
	key := func(i int) string { return fmt.Sprintf("%03d.example", i) }
	for name, damaged := range map[string]func(i int) bool{
		"none":       func(i int) bool { return false },
		"the first":  func(i int) bool { return i == 0 },
		"the middle": func(i int) bool { return i == n/2 },
		"the last":   func(i int) bool { return i == n-1 },
		"many":       func(i int) bool { return i%20 > 2 },
		"all":        func(i int) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			file := newFile(t, n, key)
			for i := range n {
				if damaged(i) {
					value := "value of " + key(i)
					file = bytes.ReplaceAll(file, []byte(value), []byte(strings.ToUpper(value)))
				} else {
					want = append(want, key(i))
				}
			}
			path := filepath.Join(t.TempDir(), "store.db")
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			s := openBolt(t, path)
			for limit := 1; limit <= n+1; limit += 3 {
				found, failed := walk(t, s, limit)
				if !slices.Equal(found, want) || failed != (len(want) < n) {
					t.Errorf("in steps of %d: %q, an error: %v; want %q", limit, found, failed, want)
				}
			}
		})
	}
}

// A page that cannot be read takes with it what is below it, and nothing else.
func TestBoltScanPassesDamagedPages(t *testing.T) {
	const n = 600
	// Keys so long that there are three levels of pages.
	key := func(i int) string { return fmt.Sprintf("%03d.%s", i, strings.Repeat("long.", 40)) }
	good := newFile(t, n, key)
	ne := binary.NativeEndian
	size := int(ne.Uint32(good[24:]))
	path := filepath.Join(t.TempDir(), "store.db")
	for name, kind := range map[string]uint16{"branch": 1, "leaf": 2} {
		pages, total := 0, 0
		for at := 2 * size; at < len(good); at += size {
			if ne.Uint64(good[at:]) != uint64(at/size) || ne.Uint16(good[at+8:]) != kind {
				continue
			}
			file := bytes.Clone(good)
			clear(file[at:][:size])
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := cache.OpenBolt(path)
			if err != nil {
				continue // the page is above all entries
			}
			found, failed := walk(t, s, 50)
			s.Close()
			lost := n - len(found)
			if failed != (lost > 0) {
				t.Errorf("a damaged %s: %d entries are lost, an error: %v", name, lost, failed)
			}
			if lost > n/2 {
				t.Errorf("a damaged %s: %d entries of %d are lost", name, lost, n)
			}
			if lost > 0 { // else it is an old page
				pages++
			}
			total += lost
		}
		// Each entry is below one page of either kind, and is lost with that one only.
		if pages < 3 || total != n {
			t.Errorf("%d pages of the kind %s, with %d entries below them; want each of %d entries once", pages, name, total, n)
		}
	}
}

// Expired entries are dropped on both sides of damage.
func TestBoltSweepPassesDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 900
		key := func(i int) string { return fmt.Sprintf("%03d.example", i) }
		file := newFile(t, n, key)
		size := int(binary.NativeEndian.Uint32(file[24:]))
		for at := 2 * size; at < len(file); at += size {
			if bytes.Contains(file[at:][:size], []byte("value of "+key(n/2))) {
				clear(file[at:][:size])
			}
		}
		path := filepath.Join(t.TempDir(), "store.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openBolt(t, path)
		if found, failed := walk(t, s, n); len(found) < n/2 || !failed {
			t.Fatalf("%d entries before, an error: %v", len(found), failed)
		}
		time.Sleep(2 * time.Hour)
		for i := range n {
			key := fmt.Sprintf("z%d.example", i)
			if err := inHour(s, key, "value of "+key); err != nil {
				t.Fatal(err)
			}
		}
		// bbolt may read the pages beside one from which it removes something, so
		// those beside the damage stay.
		if found, _ := walk(t, s, 2*n); len(found) < n || len(found) > n+n/4 || slices.Contains(found, key(0)) || slices.Contains(found, key(n-1)) {
			t.Errorf("%q are left", found)
		}
	})
}
