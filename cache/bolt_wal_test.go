package cache_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
)

const walSector = 512

// image returns what is on the disk of the store at path: its file and its log.
func image(t *testing.T, path string) (file, log []byte) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err = os.ReadFile(path + "-wal")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return file, log
}

// afterCrash opens a store of which file and log are on the disk.
func afterCrash(t *testing.T, file, log []byte) (s *cache.Bolt, path string, err error) {
	t.Helper()
	path = crashPath(t, file, log)
	s, err = cache.OpenBolt(path)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, path, err
}

// crashPath returns where file and log are on the disk.
func crashPath(t *testing.T, file, log []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	newInode(t, path, file)
	if log != nil {
		newInode(t, path+"-wal", log)
	}
	return path
}

// What Put has stored is on the disk, wherever the power goes: the file without its
// last transactions, and the log.
func TestBoltCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	want := goodFile{values: map[string]string{}}
	put := func(key string, size int) {
		t.Helper()
		want.values[key] = strings.Repeat("value of "+key+"\n", size)
		if err := sharedInHour(s, key, want.values[key]); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		file, log := image(t, path)
		crashed, _, err := afterCrash(t, file, log)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if errs := want.check(t, crashed); errs > 0 {
			t.Errorf("%s: %d errors", when, errs)
		}
	}
	for i := range 1200 { // the log is full twice
		put(fmt.Sprintf("%d.example", i*7919%700), 1+i%40)
		if i%100 == 0 {
			check(fmt.Sprintf("after %d entries", i))
		}
	}
	put("large.example", 3000)
	check("after a large entry")
	if err := remove(s, "7.example"); err != nil {
		t.Fatal(err)
	}
	delete(want.values, "7.example")
	check("after a removal")
	put("7.example", 3)
	check("after what was removed has come back")
	names := []string{"a.example", "b.example", "c.example", "7.example"}
	for _, key := range names {
		want.values[key] = "of many"
	}
	if n := len(atOnce(names, func(key string) error { return inHour(s, key, "of many") })); n != len(names) {
		t.Fatalf("%d of %d are stored", n, len(names))
	}
	check("after several at once")

	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if names := directory(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("in the directory after Close: %q; want one file", names)
	}
	check("after Close")
	checkFile(t, path)
}

// A store that was opened after a crash goes on with the log: it neither forgets nor
// brings anything back.
func TestBoltCrashAgainAndAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	want := goodFile{values: map[string]string{}}
	for round := range 8 {
		for i := range 200 {
			key := fmt.Sprintf("%d.example", (round*50+i)%400)
			want.values[key] = fmt.Sprintf("round %d", round)
			if err := inHour(s, key, want.values[key]); err != nil {
				t.Fatal(err)
			}
		}
		key := fmt.Sprintf("%d.example", round*50+3)
		if err := remove(s, key); err != nil {
			t.Fatal(err)
		}
		delete(want.values, key)
		file, log := image(t, path)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if s, path, err = afterCrash(t, file, log); err != nil {
			t.Fatal(err)
		}
		if errs := want.check(t, s); errs > 0 {
			t.Fatalf("round %d: %d errors", round, errs)
		}
	}
}

// newLog returns a store as a crash leaves it, with each of n entries in a group of the
// log of its own.
func newLog(t *testing.T, n int) (f goodFile, log []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	f.values = map[string]string{}
	for i := range n {
		key := fmt.Sprintf("%d.example", i)
		f.values[key] = strings.Repeat("value of "+key+"\n", 30)
		if err := inHour(s, key, f.values[key]); err != nil {
			t.Fatal(err)
		}
	}
	f.bytes, log = image(t, path)
	return f, log
}

// While the last group is being written, any of its sectors may be on the disk or not,
// and its entry was not reported as stored. All others were.
func TestBoltCrashInTheMidstOfALogEntry(t *testing.T) {
	f, log := newLog(t, 3)
	_, before := newLog(t, 2)
	end := len(bytes.TrimRight(before, "\x00"))
	first := (end + walSector - 1) / walSector * walSector
	if len(bytes.TrimRight(log[first:], "\x00")) <= walSector {
		t.Fatal("the last group has one sector")
	}
	delete(f.values, "2.example")
	for name, torn := range map[string][]byte{
		"nothing":           make([]byte, walSector),
		"the first sector":  bytes.Clone(log[first:][:walSector]),
		"only later ones":   make([]byte, walSector),
		"part of a sector":  append(bytes.Clone(log[first:][:100]), make([]byte, walSector-100)...),
		"an older sector":   bytes.Clone(log[walSector:][:walSector]),
		"what nobody wrote": bytes.Repeat([]byte("garbage "), walSector/8),
	} {
		t.Run(name, func(t *testing.T) {
			crashed := bytes.Clone(log)
			copy(crashed[first:], torn)
			if name != "only later ones" {
				clear(crashed[first+walSector:])
			}
			s, path, err := afterCrash(t, f.bytes, crashed)
			if err != nil {
				t.Fatal(err)
			}
			if errs := f.check(t, s); errs > 0 {
				t.Errorf("%d errors", errs)
			}
			// It goes on from there, over what is left of that group.
			f := f.clone()
			f.values["new.example"] = "new"
			if err := inHour(s, "new.example", "new"); err != nil {
				t.Fatal(err)
			}
			file, log := image(t, path)
			if s, _, err = afterCrash(t, file, log); err != nil {
				t.Fatal(err)
			}
			if errs := f.check(t, s); errs > 0 {
				t.Errorf("%d errors after another crash", errs)
			}
		})
	}
}

// A log that was damaged after a crash is an error that says so, and never a store
// without what was in it. Nothing is changed.
func TestBoltDamagedLog(t *testing.T) {
	f, log := newLog(t, 4)
	used := len(bytes.TrimRight(log, "\x00"))
	last := used / walSector * walSector
	for last > 0 && !bytes.Equal(log[last+12:][:8], log[16:][:8]) { // where the nonce is
		last -= walSector
	}
	refused := 0
	for at := 0; at < used; at += 13 {
		damaged := bytes.Clone(log)
		damaged[at] ^= 1
		s, path, err := afterCrash(t, f.bytes, damaged)
		if err == nil {
			got := f.clone()
			if at >= last {
				delete(got.values, "3.example") // which may not have been stored, as far as the log tells
			}
			if errs := got.check(t, s); errs > 0 {
				t.Errorf("octet %d: %d errors", at, errs)
			}
			continue
		}
		refused++
		if !strings.Contains(err.Error(), path+"-wal") || !strings.Contains(err.Error(), "move the log away") {
			t.Errorf("octet %d: the error does not say what is wrong, and what to do: %v", at, err)
		}
		wantUntouched(t, path, f.bytes)
		wantUntouched(t, path+"-wal", damaged)
		if err := os.Remove(path + "-wal"); err != nil {
			t.Fatal(err)
		}
		openBolt(t, path)
	}
	if refused == 0 {
		t.Error("no damage is noticed")
	}
	_, others := newLog(t, 4)
	for what, log := range map[string][]byte{
		"cut":              log[:used],
		"cut to a sector":  log[:walSector],
		"cut to a little":  log[:10],
		"empty":            {},
		"zeroed":           make([]byte, len(log)),
		"without its head": append(make([]byte, walSector), log[walSector:]...),
		"too long":         append(bytes.Clone(log), 0),
		"something else":   []byte("this is a text about something else"),
		"of another store": others,
	} {
		s, path, err := afterCrash(t, f.bytes, log)
		if err == nil || !strings.Contains(err.Error(), path+"-wal") || strings.Contains(err.Error(), "empty store") {
			t.Errorf("a log that is %s: %v, %v; want an error that names it, and no advice to give up the store", what, s, err)
		}
	}
}

// A policy that has the form of a group, wherever in the log it comes to lie, stays a
// value: else a stranger could put words in another domain's mouth.
func TestBoltLogTakesNoOrdersFromValues(t *testing.T) {
	_, theirs := newLog(t, 1) // as it is made on the stranger's own machine
	group := theirs[walSector:][:2*walSector]
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	ours, _ := image(t, path)
	if err := inHour(s, "evil.example", strings.Repeat("x", walSector)+string(group)); err != nil {
		t.Fatal(err)
	}
	_, log := image(t, path)
	// The worst place: the first of the log, as if the rest of their own had gone.
	i := bytes.Index(log, group)
	if i < 0 {
		t.Fatal("the value is not in the log")
	}
	copy(log[walSector:], bytes.Clone(log[i:]))
	s, _, err := afterCrash(t, ours, log)
	if err != nil {
		t.Fatal(err)
	}
	if keys, _, err := s.Scan(t.Context(), "", 10); len(keys) > 0 || err != nil {
		t.Fatalf("Scan = %q, %v", keys, err)
	}
}
