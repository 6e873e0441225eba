package cache_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
)

// damageSeeds is 5,000 when all is checked before a change lands.
var damageSeeds = flag.Int("damage.seeds", 150, "how many files TestBoltSurvivesDamage damages")

// harm damages file at random: what disks, memory and people do to files.
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

// TestBoltSurvivesDamage damages files at random. Whatever the damage: no panic, no
// wrong value, nothing silently gone, and a store that cannot be opened is left as it
// is and says what is wrong.
func TestBoltSurvivesDamage(t *testing.T) {
	const lanes = 8 // that wait for the disk at the same time
	f := newGoodFile(t, 60)
	var opened, damaged atomic.Int32
	t.Run("lanes", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "store.db")
				for seed := lane; seed < *damageSeeds; seed += lanes {
					rnd := rand.New(rand.NewPCG(uint64(seed), 0))
					switch errs := f.survives(t, path, rnd); {
					case errs > 0:
						damaged.Add(1)
						fallthrough
					case errs == 0:
						opened.Add(1)
					}
					if t.Failed() {
						t.Fatalf("seed %d", seed)
					}
				}
			})
		}
	})
	t.Logf("%d opened, %d of them with errors", opened.Load(), damaged.Load())
	if damaged.Load() < int32(*damageSeeds)/4 || opened.Load() == int32(*damageSeeds) {
		t.Error("the damage is too much or too little to mean something")
	}
}

// survives damages f, and writes to it if it can be opened. It returns the number of
// errors of reading, -1 if it cannot.
func (f goodFile) survives(t *testing.T, path string, rnd *rand.Rand) (errs int) {
	t.Helper()
	file := harm(rnd, f.bytes)
	newInode(t, path, file)
	os.Remove(path + "-wal")
	if len(file) == 0 {
		return -1 // a new store, and none that was damaged
	}
	s, err := cache.OpenBolt(path)
	if err != nil {
		wantClear(t, path, err)
		wantUntouched(t, path, file)
		return -1
	}
	errs = f.check(t, s)
	// Writing on either works or fails, and harms nothing else.
	after := f.clone()
	var put, gone []string
	for _, key := range f.keys() {
		switch rnd.IntN(10) {
		case 0:
			put = append(put, key)
		case 1:
			gone = append(gone, key)
		}
	}
	for _, key := range atOnce(put, func(key string) error { return inHour(s, key, "new") }) {
		after.values[key] = "new"
	}
	for _, key := range atOnce(gone, func(key string) error { return remove(s, key) }) {
		delete(after.values, key)
	}
	after.check(t, s)
	// What a damaged file does not take is left in the log.
	if err := s.Close(); err != nil && !strings.Contains(err.Error(), path+"-wal") {
		t.Errorf("Close: %v", err)
	}
	if file, err := os.ReadFile(path); err != nil {
		t.Error(err)
	} else {
		newInode(t, path, file)
	}
	if s, err := cache.OpenBolt(path); err == nil {
		after.check(t, s)
		s.Close()
	} else {
		wantClear(t, path, err)
	}
	return errs
}

// newInode puts a new file at path. A store whose writing has failed in the midst stays
// locked until the process ends, and so would the file that was there before.
func newInode(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantClear demands that an error of opening path names it and says what is wrong.
func wantClear(t *testing.T, path string, err error) {
	t.Helper()
	for _, what := range []string{"the file is damaged", "format version", "another program"} {
		if strings.Contains(err.Error(), what) && strings.Contains(err.Error(), fmt.Sprintf("%q", path)) {
			return
		}
	}
	t.Errorf("the error does not say what is wrong, and where: %v", err)
}

// A file whose end is missing is either an error, or nothing of it that counts is.
func TestBoltSurvivesTruncation(t *testing.T) {
	f := newGoodFile(t, 100)
	size := int(binary.NativeEndian.Uint32(f.bytes[24:]))
	var lengths []int
	for at := size; at <= len(f.bytes); at += size {
		lengths = append(lengths, at-1, at, min(at+1, len(f.bytes)))
	}
	for range 100 {
		lengths = append(lengths, 1+rand.IntN(len(f.bytes)))
	}
	path := filepath.Join(t.TempDir(), "store.db")
	opened := 0
	for _, n := range lengths {
		if err := os.WriteFile(path, f.bytes[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := cache.OpenBolt(path)
		if err != nil {
			wantClear(t, path, err)
			wantUntouched(t, path, f.bytes[:n])
			continue
		}
		opened++
		if errs := f.check(t, s); errs > 0 {
			t.Errorf("%d octets of %d: %d errors after it was opened", n, len(f.bytes), errs)
		}
		s.Close()
	}
	if opened == 0 || opened == len(lengths) {
		t.Errorf("%d of %d can be opened", opened, len(lengths))
	}
}
