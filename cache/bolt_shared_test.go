package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	bolt "go.etcd.io/bbolt"
)

// newSharedFile makes a store with n entries that all end in text, and closes it.
func newSharedFile(t *testing.T, n int, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("d%d.example", i))
	}
	if len(atOnce(keys, func(key string) error { return sharedInHour(s, key, sharedHead(key)+text) })) != n {
		t.Fatal("an entry could not be written")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path)
	return path
}

// sharedHead is the part of a value, 5 octets, that is not shared.
func sharedHead(key string) string { return fmt.Sprintf("%-5.5s", key) }

func TestBoltKeepsWhatManyValuesEndWithOnce(t *testing.T) {
	const entries = 500
	text := strings.Repeat("mx: mail.example.com\n", 20)
	path := newSharedFile(t, entries, text)
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	times := 0
	db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("entries")).ForEach(func(_, value []byte) error {
			times += bytes.Count(value, []byte(text))
			return nil
		})
	})
	db.Close()
	if times != 2 { // the first entry has one of its own, the others have the one that is shared
		t.Errorf("the text of %d entries is in the file %d times", entries, times)
	}

	ctx := context.Background()
	check := func(s *cache.Bolt, skip ...string) {
		t.Helper()
		for i := range entries {
			key := fmt.Sprintf("d%d.example", i)
			value, ok, err := s.Get(ctx, key)
			if want := sharedHead(key) + text; !slices.Contains(skip, key) && (!ok || err != nil || string(value) != want) {
				t.Fatalf("Get(%q) = %q, %v, %v; want %q", key, value, ok, err, want)
			}
		}
		keys, values, err := s.Scan(ctx, "", 2*entries)
		if err != nil || len(keys) < entries-len(skip) || len(keys) > entries {
			t.Fatalf("Scan finds %d of %d entries, %v", len(keys), entries, err)
		}
		for i, key := range keys {
			if want := sharedHead(key) + text; !slices.Contains(skip, key) && string(values[i]) != want {
				t.Fatalf("Scan: %q has %q, want %q", key, values[i], want)
			}
		}
	}
	s := openBolt(t, path)
	check(s)
	// One that goes takes nothing from the others; nor does one that changes.
	if err := s.Delete(ctx, "d0.example", time.Now()); err != nil {
		t.Fatal(err)
	}
	check(s, "d0.example")
	if err := sharedInHour(s, "d1.example", "new: "+text+"mx: new\n"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openBolt(t, path)
	check(s, "d0.example", "d1.example")
	if v, ok, err := s.Get(ctx, "d1.example"); !ok || err != nil || string(v) != "new: "+text+"mx: new\n" {
		t.Errorf("Get = %q, %v, %v", v, ok, err)
	}
}

// What is shared has a bound of its own: strangers can make any number of domains.
func TestBoltSharesNoMoreThanItsBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openBolt(t, path)
	text := func(i int) string { return strings.Repeat(fmt.Sprintf("%07d\n", i), 100) }
	const texts = 2000 // of 800 octets
	var keys []string
	for i := range 3 * texts {
		keys = append(keys, fmt.Sprintf("d%d.example", i))
	}
	value := func(key string) string {
		var i int
		fmt.Sscanf(key, "d%d.", &i)
		return sharedHead(key) + text(i%texts)
	}
	if len(atOnce(keys, func(key string) error { return sharedInHour(s, key, value(key)) })) != len(keys) {
		t.Fatal("an entry could not be written")
	}
	s.Close()
	s = openBolt(t, path)
	for _, key := range keys {
		if v, ok, err := s.Get(t.Context(), key); !ok || err != nil || string(v) != value(key) {
			t.Fatalf("Get(%q) = %q, %v, %v", key, v, ok, err)
		}
	}
	if n := cache.SharedOctets(s); n < 1<<19 || n > 1<<20 {
		t.Errorf("%d octets are shared, want a megabyte at most", n)
	}
}

// Damage to what is shared is an error of all who have a part in it, until they
// are written anew.
func TestBoltDamageToWhatIsShared(t *testing.T) {
	const entries = 50
	text := strings.Repeat("mx: mail.example.com\n", 5)
	path := newSharedFile(t, entries, text)
	falsify(t, path, text)
	s := openBolt(t, path)
	ctx := context.Background()
	for round := range 2 {
		for i := range entries {
			key := fmt.Sprintf("d%d.example", i)
			value, ok, err := s.Get(ctx, key)
			switch {
			case round == 0 && (ok || err == nil || !strings.Contains(err.Error(), key)):
				t.Fatalf("Get(%q) = %q, %v, %v; want an error that names the entry", key, value, ok, err)
			case round == 1 && (!ok || err != nil || string(value) != sharedHead(key)+text):
				t.Fatalf("Get(%q) = %q, %v, %v though it was written anew", key, value, ok, err)
			}
		}
		for i := range entries {
			key := fmt.Sprintf("d%d.example", i)
			if err := sharedInHour(s, key, sharedHead(key)+text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if keys, _, err := s.Scan(ctx, "", 2*entries); err != nil || len(keys) != entries {
		t.Errorf("Scan finds %d of %d, %v", len(keys), entries, err)
	}
}

func TestBoltPutSharedRefusesAnIndexOutsideTheValue(t *testing.T) {
	s := openBolt(t, filepath.Join(t.TempDir(), "store.db"))
	for _, shared := range []int{-1, 6, 1 << 30} {
		err := s.PutShared(t.Context(), "example.com", []byte("value"), shared, time.Now(), time.Now().Add(time.Hour))
		if err == nil || !strings.Contains(err.Error(), "5 octets") {
			t.Errorf("PutShared of 5 octets, shared from %d on: %v", shared, err)
		}
	}
	if err := sharedInHour(s, "example.com", "value"); err != nil {
		t.Error(err)
	}
}

// What is shared anew where it was damaged is in the file, whatever else is written.
func TestBoltRepairsWhatIsShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	text := strings.Repeat("mx: mail.example.com\n", 5)
	fetched := time.Now().Round(0)
	put := func(s *cache.Bolt, key string) {
		t.Helper()
		if err := s.PutShared(t.Context(), key, []byte(sharedHead(key)+text), 5, fetched, fetched.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	keys := []string{"d0.example", "d1.example", "d2.example"}
	s := openBolt(t, path)
	for _, key := range keys {
		put(s, key)
	}
	s.Close()
	falsify(t, path, text)
	s = openBolt(t, path)
	for _, key := range append(keys, "new.example") {
		put(s, key) // in part just what is in the file
	}
	s.Close()
	s = openBolt(t, path)
	for _, key := range append(keys, "new.example") {
		if v, ok, err := s.Get(t.Context(), key); !ok || err != nil || string(v) != sharedHead(key)+text {
			t.Errorf("Get(%q) = %q, %v, %v, though it was reported as stored", key, v, ok, err)
		}
	}
}

// falsify changes text, wherever it is in the file at path.
func falsify(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file = bytes.ReplaceAll(file, []byte(text), bytes.ReplaceAll([]byte(text), []byte("mail"), []byte("evil")))
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
}
