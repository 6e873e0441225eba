package mtaststest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
)

// TestStore tests that a Store keeps the contract of [mtasts.Store], in a subtest for each
// sentence of it. Call it from a test of your Store:
//
//	func TestMyStore(t *testing.T) {
//		mtaststest.TestStore(t, func(t *testing.T) mtasts.Store { return mystore.New() }, nil)
//	}
//
// open returns an empty store. TestStore calls it once for each subtest, one after the other,
// and closes the store at the end of the subtest if it is an [io.Closer]. open cleans up all
// else by t.Cleanup.
//
// reopen is nil if the entries do not outlive the store. Otherwise it returns a store with the
// entries of the last one that open or reopen returned. TestStore has closed that one before.
func TestStore(t *testing.T, open func(t *testing.T) mtasts.Store, reopen func(t *testing.T) mtasts.Store) {
	for _, test := range []struct {
		name string
		run  func(s *storeTest)
	}{
		{"an absent key is no error", (*storeTest).testMissing},
		{"Get returns what was written last", (*storeTest).testGet},
		{"keys are any domain names", (*storeTest).testKeys},
		{"values are opaque and up to 70 KiB", (*storeTest).testValues},
		{"the latest fetched time wins", (*storeTest).testOrder},
		{"a nil Value removes a key", (*storeTest).testDelete},
		{"an expired entry does not win against an older one", (*storeTest).testOrderOfExpired},
		{"a removal does not remove what was fetched later", (*storeTest).testDeleteOrder},
		{"no entry is dropped before it expires", (*storeTest).testExpiry},
		{"an expired key can be written again", (*storeTest).testExpired},
		{"an empty Value is a value", (*storeTest).testEmpty},
		{"many changes in one Write", (*storeTest).testMany},
		{"changes of one key are made in order", (*storeTest).testSequence},
		{"a reader sees all of a Write or nothing", (*storeTest).testAtomic},
		{"slices belong to the caller", (*storeTest).testSlices},
		{"Scan returns entries in order and within limit", (*storeTest).testScan},
		{"Scan finds all entries during writes", (*storeTest).testScanWhileWriting},
		{"writers of one key keep the order", (*storeTest).testConcurrentKey},
		{"a newer value survives the removal of an older one", (*storeTest).testConcurrentDelete},
		{"all methods concurrently", (*storeTest).testConcurrent},
		{"a context that has ended", (*storeTest).testContext},
		{"a thousand random operations", (*storeTest).testModel},
		{"entries outlive the store", (*storeTest).testReopen},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &storeTest{T: t, now: time.Now(), reopen: reopen}
			s.use(open(t))
			test.run(s)
		})
	}
}

// A storeTest is a subtest with its store.
type storeTest struct {
	*testing.T
	mtasts.Store
	now    time.Time
	close  func()
	reopen func(*testing.T) mtasts.Store
}

// use makes store the one under test.
func (s *storeTest) use(store mtasts.Store) {
	s.Helper()
	if store == nil {
		s.Fatal("open or reopen returned nil")
	}
	s.Store = store
	s.close = sync.OnceFunc(func() {
		if c, ok := store.(io.Closer); ok {
			if err := c.Close(); err != nil {
				s.Errorf("Close: %v", err)
			}
		}
	})
	s.Cleanup(s.close)
}

// again closes the store and opens it anew, if it can be reopened.
func (s *storeTest) again() {
	s.Helper()
	if s.reopen != nil {
		s.close()
		s.use(s.reopen(s.T))
	}
}

// change sets key to value, fetched at s.now plus age. It expires an hour after s.now.
func (s *storeTest) change(key, value string, age time.Duration) cache.Change {
	return cache.Change{Key: key, Value: []byte(value), Fetched: s.now.Add(age), Expires: s.now.Add(time.Hour)}
}

// removal removes key unless its value was fetched later than s.now plus age.
func (s *storeTest) removal(key string, age time.Duration) cache.Change {
	return cache.Change{Key: key, Fetched: s.now.Add(age)}
}

// write makes changes in one Write. It may be called on any goroutine.
func (s *storeTest) write(changes ...cache.Change) {
	s.Helper()
	if err := s.Write(s.Context(), changes); err != nil {
		s.Errorf("Write of %d changes, the first to %q: %v", len(changes), changes[0].Key, err)
	}
}

// put writes one change.
func (s *storeTest) put(key, value string, age time.Duration) {
	s.Helper()
	s.write(s.change(key, value, age))
}

// putAt is put with both times.
func (s *storeTest) putAt(key, value string, fetched, expires time.Time) {
	s.Helper()
	s.write(cache.Change{Key: key, Value: []byte(value), Fetched: fetched, Expires: expires})
}

// delete removes key, whichever value it has in this test.
func (s *storeTest) delete(key string) {
	s.Helper()
	s.write(s.removal(key, time.Hour))
}

// while calls loop on each of n goroutines again and again, until work has returned or the
// test has failed.
func (s *storeTest) while(work func(), n int, loop func()) {
	var done atomic.Bool
	var loops sync.WaitGroup
	defer loops.Wait()
	defer done.Store(true)
	for range n {
		loops.Go(func() {
			for !done.Load() && !s.Failed() {
				loop()
			}
		})
	}
	work()
}

// number returns the value of key, which is a number.
func (s *storeTest) number(key string) (n int) {
	s.Helper()
	value, ok, err := s.Get(s.Context(), key)
	if err == nil && ok {
		_, err = fmt.Sscan(string(value), &n)
	}
	if err != nil || !ok {
		s.Errorf("Get(%q) = %q, %v, %v; want a number", key, value, ok, err)
	}
	return n
}

func (s *storeTest) want(key, value string) {
	s.Helper()
	if got, ok, err := s.Get(s.Context(), key); err != nil || !ok || string(got) != value {
		s.Errorf("Get(%q) = %s, %v, %v; want %s", key, quoteShort(string(got)), ok, err, quoteShort(value))
	}
}

func (s *storeTest) wantMissing(key string) {
	s.Helper()
	if got, ok, err := s.Get(s.Context(), key); ok || err != nil {
		s.Errorf("Get(%q) = %s, %v, %v; want no value and no error", key, quoteShort(string(got)), ok, err)
	}
}

// scan reads the whole store, limit entries at a time.
func (s *storeTest) scan(limit int) (keys []string, values []string) {
	s.Helper()
	for after := ""; ; {
		ks, vs, err := s.Scan(s.Context(), after, limit)
		if err != nil {
			s.Fatalf("Scan(%q, %d): %v", after, limit, err)
		}
		if len(ks) != len(vs) || len(ks) > limit {
			s.Fatalf("Scan(%q, %d) returned %d keys and %d values", after, limit, len(ks), len(vs))
		}
		for i, k := range ks {
			if k <= after {
				s.Fatalf("Scan(%q, %d) returned %q after %q", after, limit, k, after)
			}
			after = k
			keys, values = append(keys, k), append(values, string(vs[i]))
		}
		if len(ks) < limit {
			return keys, values
		}
	}
}

// wantAll asserts that the entries of the store are want and no others.
func (s *storeTest) wantAll(want map[string]string) {
	s.Helper()
	for k, v := range want {
		s.want(k, v)
	}
	keys, values := s.scan(7)
	if sorted := slices.Sorted(maps.Keys(want)); !slices.Equal(keys, sorted) {
		s.Errorf("Scan returned %d keys, %s;\nwant %d, %s", len(keys), quoteShort(fmt.Sprint(keys)), len(sorted), quoteShort(fmt.Sprint(sorted)))
		return
	}
	for i, k := range keys {
		if values[i] != want[k] {
			s.Errorf("Scan: value of %q is %s, want %s", k, quoteShort(values[i]), quoteShort(want[k]))
		}
	}
}

func quoteShort(s string) string {
	if len(s) <= 100 {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q... (%d octets)", s[:100], len(s))
}
