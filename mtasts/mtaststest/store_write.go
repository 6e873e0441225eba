package mtaststest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

func (s *storeTest) testEmpty() {
	s.put("empty.example", "", 0)
	s.put("emptied.example", "value", 0)
	s.put("emptied.example", "", 1)
	s.put("removed.example", "", 0)
	s.write(cache.Change{Key: "removed.example", Fetched: s.now, Expires: s.now.Add(time.Hour)})
	s.wantAll(map[string]string{"empty.example": "", "emptied.example": ""})
}

// testMany writes a thousand changes at once: new values, replacements, removals, and some
// that come too late.
func (s *storeTest) testMany() {
	if err := s.Write(s.Context(), nil); err != nil {
		s.Errorf("Write of nothing: %v", err)
	}
	want := map[string]string{}
	var first, second []cache.Change
	for i := range 1000 {
		key, value := fmt.Sprintf("%03d.example", i*7919%1000), fmt.Sprintf("value %d", i)
		if i%50 == 7 {
			value = strings.Repeat(value, 2000) // several pages in most files
		}
		switch i % 5 {
		case 0:
			first = append(first, s.change(key, "held", 0))
			second = append(second, s.change(key, value, 1))
			want[key] = value
		case 1:
			first = append(first, s.change(key, value, 1))
			second = append(second, s.change(key, "too late", 0))
			want[key] = value
		case 2:
			first = append(first, s.change(key, "held", 0))
			second = append(second, cache.Change{Key: key, Fetched: s.now})
		case 3:
			first = append(first, s.change(key, value, 1))
			second = append(second, cache.Change{Key: key, Fetched: s.now}) // too late
			want[key] = value
		case 4:
			second = append(second, s.change(key, value, 0))
			want[key] = value
		}
	}
	s.write(first...)
	s.write(second...)
	s.wantAll(want)
	if s.reopen != nil {
		s.close()
		s.use(s.reopen(s.T))
		s.wantAll(want)
	}
	// The slice is the caller's again.
	held := slices.Collect(maps.Keys(want))
	clear(first)
	clear(second)
	for _, key := range held[:10] {
		s.want(key, want[key])
	}
}

func (s *storeTest) testSequence() {
	gone := func(key string, age time.Duration) cache.Change {
		return cache.Change{Key: key, Fetched: s.now.Add(age)}
	}
	expired := s.change("expired.example", "expired", time.Minute)
	expired.Expires = s.now.Add(-time.Second)
	s.write(
		s.change("replaced.example", "one", 0), s.change("other.example", "other", 0), s.change("replaced.example", "two", 0),
		s.change("late.example", "newer", 1), s.change("late.example", "older", 0),
		s.change("removed.example", "value", 0), gone("removed.example", 0),
		s.change("kept.example", "value", 1), gone("kept.example", 0),
		gone("again.example", time.Minute), s.change("again.example", "value", 0),
		s.change("thrice.example", "one", 5), gone("thrice.example", 5), s.change("thrice.example", "two", 0),
		expired, s.change("expired.example", "valid", 0),
	)
	s.wantAll(map[string]string{
		"replaced.example": "two",
		"other.example":    "other",
		"late.example":     "newer",
		"kept.example":     "value",
		"again.example":    "value",
		"thrice.example":   "two",
		"expired.example":  "valid",
	})
}

// testAtomic writes the same number under two keys, again and again. Whoever reads one and
// then the other never finds an older number there.
func (s *storeTest) testAtomic() {
	const writes = 100
	keys := []string{"a.example", "z.example"}
	both := func(n int) {
		age := time.Duration(n)
		s.write(s.change(keys[0], fmt.Sprint(n), age), s.change(keys[1], fmt.Sprint(n), age))
	}
	both(0)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for first := range keys {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				last := -1
				for _, key := range []string{keys[first], keys[1-first]} {
					var n int
					value, ok, err := s.Get(s.Context(), key)
					if _, scanErr := fmt.Sscan(string(value), &n); !ok || err != nil || scanErr != nil || n < last {
						s.Errorf("Get(%q) = %q, %v, %v after %d was read under the other key", key, value, ok, err, last)
						return
					}
					last = n
				}
			}
		})
	}
	for n := 1; n <= writes; n++ {
		both(n)
	}
	close(stop)
	readers.Wait()
}
