package cache_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// Scan finds what is in the log only, in its place, also where there is an older one.
func TestBoltScanFindsWhatIsInTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	want := goodFile{values: map[string]string{}}
	for round := range 2 {
		for i := round; i < 300; i += 1 + 2*round {
			key := fmt.Sprintf("%03d.example", i+round*(i%2))
			want.values[key] = fmt.Sprintf("round %d, %0100d", round, i)
			if err := inHour(s, key, want.values[key]); err != nil {
				t.Fatal(err)
			}
		}
		if round == 0 {
			s.Close()
			s = openBolt(t, path)
		}
	}
	if _, log := image(t, path); log == nil {
		t.Fatal("there is no log")
	}
	if errs := want.check(t, s); errs > 0 {
		t.Errorf("%d errors", errs)
	}
	for limit := range 20 {
		if errs := want.checkScan(t, s, map[string]bool{}, limit+1); errs > 0 {
			t.Errorf("limit %d: %d errors", limit+1, errs)
		}
	}
}

// What the file does not take, because it has been damaged since, stays in the log, and
// what it does take goes on being stored.
func TestBoltDamageBeneathTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	ctx, now := t.Context(), time.Now()
	key := func(i int) string { return fmt.Sprintf("%03d.example", i) }
	for i := range 100 {
		if err := inHour(s, key(i), strings.Repeat("x", 300)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s = openBolt(t, path)
	victims := []string{key(50), key(50) + ".new"}
	for _, key := range victims {
		if err := inHour(s, key, "in the log"); err != nil {
			t.Fatal(err)
		}
	}
	file, _ := image(t, path)
	size := int(binary.NativeEndian.Uint32(file[24:]))
	for at := 2 * size; at < len(file); at += size {
		const leaf = 2
		if page := file[at:][:size]; binary.NativeEndian.Uint16(page[8:]) == leaf && bytes.Contains(page, []byte(key(50))) {
			clear(file[at:][:size])
		}
	}
	if err := overwrite(path, file); err != nil {
		t.Fatal(err)
	}
	stored := slices.Clone(victims)
	for i := range 1200 { // the log is full twice, if it is ever emptied
		key := fmt.Sprintf("%d.after.example", i)
		if err := inHour(s, key, "value"); err == nil {
			stored = append(stored, key)
		}
	}
	if len(stored) < 1000 {
		t.Errorf("%d of 1200 entries can be stored elsewhere", len(stored)-len(victims))
	}
	check := func(s *cache.Bolt) {
		t.Helper()
		for _, key := range stored {
			if _, ok, err := s.Get(ctx, key); !ok || err != nil {
				t.Errorf("Get(%q) = %v, %v, though it was reported as stored", key, ok, err)
			}
		}
	}
	check(s)
	// What is removed elsewhere does not come back from the log.
	gone := "0.after.example"
	if err := remove(s, gone); err != nil {
		t.Error(err)
	}
	stored = slices.DeleteFunc(stored, func(key string) bool { return key == gone })
	file, log := image(t, path)
	crashed, err := cache.OpenBolt(crashPath(t, file, log))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := crashed.Get(ctx, gone); ok || err != nil {
		t.Errorf("Get(%q) = %v, %v after a crash, though it was removed", gone, ok, err)
	}
	check(crashed)
	crashed.Close() // with an error
	if err := s.Put(ctx, key(51), []byte("x"), now, now.Add(time.Hour)); err == nil {
		t.Error("Put of an entry whose place is damaged: no error")
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), path+"-wal") {
		t.Errorf("Close: %v; want an error that names the log, where the rest is", err)
	}
	s, err = cache.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	check(s)
	s.Close() // with the same error
}

// A log that is older than the file, because a crash has kept it from beginning anew, takes
// nothing back.
func TestBoltOlderLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	if err := inHour(s, "example.com", "old"); err != nil {
		t.Fatal(err)
	}
	_, log := image(t, path)
	if err := inHour(s, "example.com", "new"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	file, _ := image(t, path)
	s, _, err := afterCrash(t, file, log)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := s.Get(t.Context(), "example.com"); string(got) != "new" || err != nil {
		t.Errorf("Get = %q, %v", got, err)
	}
}

// Of times that the store cannot tell apart, the later Put counts, in the log and in the
// file.
func TestBoltTimesBeyondItsRange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	for round, year := range []int{1500, 1, 1000} {
		s := openBolt(t, path)
		want := fmt.Sprint("round ", round)
		if err := s.Put(t.Context(), "example.com", []byte(want), time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"at once", "from the file"} {
			if got, _, err := s.Get(t.Context(), "example.com"); string(got) != want || err != nil {
				t.Errorf("round %d, %s: Get = %q, %v", round, when, got, err)
			}
			s.Close()
			s = openBolt(t, path)
		}
		s.Close()
	}
}
