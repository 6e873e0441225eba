package cache_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

func bothStores(t *testing.T) map[string]store {
	return map[string]store{"Memory": new(cache.Memory), "Bolt": openBolt(t, t.TempDir()+"/store.db")}
}

// An invalid key or value is an error, and the whole Write then changes nothing.
func TestStoresRefuseInvalidChanges(t *testing.T) {
	now := time.Now()
	change := func(key string, size int) cache.Change {
		return cache.Change{Key: key, Value: make([]byte, size), Fetched: now, Expires: now.Add(time.Hour)}
	}
	for name, s := range bothStores(t) {
		refused := []cache.Change{change("example.com", 70<<10+1)}
		for _, key := range []string{"", "Example.com", "a b", "a/b", "\x00", "\xff", "bücher.example", string(make([]byte, 254)), fmt.Sprintf("%0254d", 0)} {
			if _, ok, err := s.Get(t.Context(), key); ok || err == nil {
				t.Errorf("%s: Get(%q) = %v, %v; want an error", name, key, ok, err)
			}
			refused = append(refused, change(key, 1), cache.Change{Key: key, Fetched: now})
		}
		for _, c := range refused {
			if err := s.Write(t.Context(), []cache.Change{change("first.example", 1), c, change("last.example", 1)}); err == nil {
				t.Errorf("%s: Write of %d octets under %q: no error", name, len(c.Value), c.Key)
			}
		}
		if keys, _, err := s.Scan(t.Context(), "", 10); len(keys) != 0 || err != nil {
			t.Errorf("%s: Scan = %q, %v", name, keys, err)
		}
	}
}

// A value stays in place of an older one until the nanosecond of its expiry. One that expires
// later than the file can say stays for ever.
func TestStoresKeepTheExactExpiry(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) store{
		"Memory": func(*testing.T) store { return new(cache.Memory) },
		"Bolt":   func(t *testing.T) store { return openBolt(t, t.TempDir()+"/store.db") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t)
				write := func(key, value string, fetched, expires time.Time) {
					t.Helper()
					if err := s.Write(t.Context(), []cache.Change{{Key: key, Value: []byte(value), Fetched: fetched, Expires: expires}}); err != nil {
						t.Fatal(err)
					}
				}
				want := func(key, value string) {
					t.Helper()
					if v, _, err := s.Get(t.Context(), key); err != nil || string(v) != value {
						t.Errorf("Get(%q) = %q, %v; want %q", key, v, err, value)
					}
				}
				start := time.Now()
				end := start.Add(999_999_999)
				far := start.AddDate(1000, 0, 0)
				write("a.example", "newer", start.Add(1), end)
				write("far.example", "newer", start.Add(1), far)
				time.Sleep(time.Until(end))
				write("a.example", "older", start, far)
				want("a.example", "newer")
				time.Sleep(time.Nanosecond)
				write("a.example", "older", start, far)
				want("a.example", "older")
				time.Sleep(math.MaxInt64 - time.Duration(time.Now().UnixNano())) // the last instant
				write("far.example", "older", start, far)
				want("far.example", "newer")
			})
		})
	}
}
