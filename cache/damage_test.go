package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
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

func newGoodFile(tb testing.TB, entries int) goodFile {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "good.db")
	s, err := cache.OpenBolt(path)
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now()
	f := goodFile{values: map[string]string{}}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range entries {
		key := fmt.Sprintf("d%d.example", rnd.IntN(1000000))
		size := 100 + rnd.IntN(300)
		if i%50 == 20 {
			size = 5000 + rnd.IntN(20000)
		}
		value := strings.Repeat("mx: mail."+key+"\n", size/10)[:size]
		if err := s.Put(context.Background(), key, []byte(value), now, now.Add(time.Hour)); err != nil {
			tb.Fatal(err)
		}
		f.values[key] = value
		if i%7 == 3 {
			if err := s.Delete(context.Background(), key); err != nil {
				tb.Fatal(err)
			}
			delete(f.values, key)
		}
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	if f.bytes, err = os.ReadFile(path); err != nil {
		tb.Fatal(err)
	}
	return f
}

// check demands that s holds the values of f, but for entries that it reports
// an error for. It returns the number of those.
func (f goodFile) check(t *testing.T, s *cache.Bolt) (errs int) {
	t.Helper()
	ctx := context.Background()
	for key, want := range f.values {
		got, ok, err := s.Get(ctx, key)
		switch {
		case err != nil:
			errs++
		case !ok:
			t.Errorf("%q is silently gone", key)
		case string(got) != want:
			t.Errorf("%q has another value, %d octets instead of %d", key, len(got), len(want))
		}
		if _, ok, err := s.Get(ctx, key+"x"); err == nil && ok {
			t.Errorf("%q is there", key+"x")
		}
	}
	n := 0
	for after := ""; ; {
		keys, values, err := s.Scan(ctx, after, 50)
		if err != nil {
			return errs + 1
		}
		for i, key := range keys {
			if want, ok := f.values[key]; !ok || string(values[i]) != want {
				t.Errorf("Scan found another value of %q, %d octets instead of %d", key, len(values[i]), len(want))
			}
			after = key
		}
		n += len(keys)
		if len(keys) < 50 {
			break
		}
	}
	if n != len(f.values) {
		t.Errorf("Scan found %d entries of %d, and no error", n, len(f.values))
	}
	return errs
}

// TestBoltSurvivesFlippedBits turns random bits of the file. Whatever they are:
// no panic, no wrong value, nothing silently gone, and a store that can't be
// opened is left as it is.
func TestBoltSurvivesFlippedBits(t *testing.T) {
	f := newGoodFile(t, 100)
	path := filepath.Join(t.TempDir(), "store.db")
	ctx := context.Background()
	opened, damaged := 0, 0
	for seed := range 150 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 0))
		file := bytes.Clone(f.bytes)
		for range 1 + rnd.IntN(30) {
			file[rnd.IntN(len(file))] ^= 1 << rnd.IntN(8)
		}
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := cache.OpenBolt(path)
		if err != nil {
			wantUntouched(t, path, file)
			continue
		}
		opened++
		if f.check(t, s) > 0 {
			damaged++
		}
		// Writing on either works or fails, and harms nothing else.
		values := map[string]string{}
		for key, value := range f.values {
			values[key] = value
			switch rnd.IntN(10) {
			case 0:
				if s.Put(ctx, key, []byte("new"), time.Now(), time.Now().Add(time.Hour)) == nil {
					values[key] = "new"
				}
			case 1:
				if s.Delete(ctx, key) == nil {
					delete(values, key)
				}
			}
		}
		after := goodFile{values: values}
		after.check(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if s, err := cache.OpenBolt(path); err == nil {
			after.check(t, s)
			s.Close()
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d opened, %d of them with errors", opened, damaged)
}

func wantUntouched(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file was changed: %d octets, %d before, %v", len(got), len(want), err)
	}
}
