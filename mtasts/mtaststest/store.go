package mtaststest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
)

// TestStore tests that a Store keeps the contract of [mtasts.Store], each
// sentence of it in a subtest of its own. Whoever implements a Store calls it
// from a test:
//
//	func TestMyStore(t *testing.T) {
//		mtaststest.TestStore(t, func(t *testing.T) mtasts.Store { return mystore.New() }, nil)
//	}
//
// open returns an empty store and is called once for each subtest, one after the
// other. TestStore closes the store at the end of the subtest if it is an
// [io.Closer]; what else is left over, open cleans up by t.Cleanup.
//
// reopen is nil for a store that forgets when it is closed. Otherwise it returns
// a store with the entries of the one that open returned last; TestStore has
// closed that one before.
func TestStore(t *testing.T, open func(t *testing.T) mtasts.Store, reopen func(t *testing.T) mtasts.Store) {
	for _, test := range []struct {
		name string
		run  func(s *storeTest)
	}{
		{"a key that is not there is no error", (*storeTest).testMissing},
		{"Get returns what was written last", (*storeTest).testGet},
		{"keys are any domain names", (*storeTest).testKeys},
		{"values are opaque and up to 70 KiB", (*storeTest).testValues},
		{"the latest fetched time wins", (*storeTest).testOrder},
		{"a nil Value removes a key", (*storeTest).testDelete},
		{"what has expired is not in the way of what is older", (*storeTest).testOrderOfExpired},
		{"a removal leaves what was fetched later", (*storeTest).testDeleteOrder},
		{"nothing is dropped before it expires", (*storeTest).testExpiry},
		{"what has expired can be written again", (*storeTest).testExpired},
		{"an empty Value is a value", (*storeTest).testEmpty},
		{"many changes in one Write", (*storeTest).testMany},
		{"changes of one key are made one after the other", (*storeTest).testSequence},
		{"readers see all of a Write or nothing of it", (*storeTest).testAtomic},
		{"slices belong to the caller", (*storeTest).testCopies},
		{"Scan goes in order and in bounded steps", (*storeTest).testScan},
		{"Scan finds all while others write", (*storeTest).testScanWhileWriting},
		{"writers of one key keep the order", (*storeTest).testConcurrentKey},
		{"a newer value survives the removal of an older one", (*storeTest).testConcurrentDelete},
		{"all methods at once", (*storeTest).testConcurrent},
		{"a context that has ended", (*storeTest).testContext},
		{"a thousand random operations", (*storeTest).testModel},
		{"what was written outlives the store", (*storeTest).testReopen},
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

// change is a change to value, fetched at s.now plus age, that expires in an hour.
func (s *storeTest) change(key, value string, age time.Duration) cache.Change {
	return cache.Change{Key: key, Value: []byte(value), Fetched: s.now.Add(age), Expires: s.now.Add(time.Hour)}
}

// put writes value as fetched at s.now plus age, to expire in an hour.
func (s *storeTest) put(key, value string, age time.Duration) {
	s.Helper()
	s.write(s.change(key, value, age))
}

// delete removes key, whatever the test has written under it.
func (s *storeTest) delete(key string) {
	s.Helper()
	s.write(cache.Change{Key: key, Fetched: s.now.Add(time.Hour)})
}

// write makes changes in one Write.
func (s *storeTest) write(changes ...cache.Change) {
	s.Helper()
	if err := s.Write(s.Context(), changes); err != nil {
		s.Fatalf("Write of %d changes, the first to %q: %v", len(changes), changes[0].Key, err)
	}
}

func (s *storeTest) tryPut(key string, value []byte, fetched, expires time.Time) error {
	return s.Write(s.Context(), []cache.Change{{Key: key, Value: value, Fetched: fetched, Expires: expires}})
}

func (s *storeTest) tryDelete(key string, fetched time.Time) error {
	return s.Write(s.Context(), []cache.Change{{Key: key, Fetched: fetched}})
}

func (s *storeTest) want(key, value string) {
	s.Helper()
	got, ok, err := s.Get(s.Context(), key)
	switch {
	case err != nil:
		s.Errorf("Get(%q): %v", key, err)
	case !ok:
		s.Errorf("Get(%q): not there, want %s", key, quoteShort(value))
	case string(got) != value:
		s.Errorf("Get(%q) = %s, want %s", key, quoteShort(string(got)), quoteShort(value))
	}
}

func (s *storeTest) wantMissing(key string) {
	s.Helper()
	if got, ok, err := s.Get(s.Context(), key); ok || err != nil {
		s.Errorf("Get(%q) = %s, %v, %v; want it not to be there, and no error", key, quoteShort(string(got)), ok, err)
	}
}

// scan walks the whole store in steps of limit.
func (s *storeTest) scan(limit int) (keys []string, values []string) {
	s.Helper()
	for after := ""; ; {
		ks, vs, err := s.Scan(s.Context(), after, limit)
		if err != nil {
			s.Fatalf("Scan(%q, %d): %v", after, limit, err)
		}
		if len(ks) != len(vs) {
			s.Fatalf("Scan(%q, %d) returned %d keys and %d values", after, limit, len(ks), len(vs))
		}
		if len(ks) > limit {
			s.Fatalf("Scan(%q, %d) returned %d entries", after, limit, len(ks))
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

// wantAll demands that the store holds want and nothing else.
func (s *storeTest) wantAll(want map[string]string) {
	s.Helper()
	for k, v := range want {
		s.want(k, v)
	}
	keys, values := s.scan(7)
	if sorted := slices.Sorted(maps.Keys(want)); !slices.Equal(keys, sorted) {
		s.Errorf("Scan finds %d keys, %s;\nwant %d, %s", len(keys), quoteShort(fmt.Sprint(keys)), len(sorted), quoteShort(fmt.Sprint(sorted)))
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
