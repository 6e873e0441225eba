package mtaststest

import (
	"fmt"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// sameInstant returns at in other forms. A store must compare instants, and neither their
// time zones nor their monotonic clock readings.
func sameInstant(at time.Time) []time.Time {
	return []time.Time{at, at.UTC(), at.Round(0), at.In(time.FixedZone("east", 14*3600))}
}

func (s *storeTest) testOrder() {
	const key = "example.com"
	s.put(key, "first", 0)
	s.put(key, "older by an hour", -time.Hour)
	s.want(key, "first")
	s.put(key, "older by a nanosecond", -1)
	s.want(key, "first")
	s.put(key, "as old", 0)
	s.want(key, "as old")
	s.put(key, "newer by a nanosecond", 1)
	s.want(key, "newer by a nanosecond")
	s.put(key, "as old as the first", 0)
	s.want(key, "newer by a nanosecond")
	for i, fetched := range sameInstant(s.now.Add(2)) {
		s.putAt(key, fmt.Sprint("zone ", i), fetched, s.now.Add(time.Hour))
		s.want(key, fmt.Sprint("zone ", i))
	}
	// Other keys do not matter.
	s.put("example.net", "older than the other", -time.Hour)
	s.want("example.net", "older than the other")
}

func (s *storeTest) testDeleteOrder() {
	const key = "example.com"
	s.put(key, "value", 0)
	for _, earlier := range []time.Duration{-1, -time.Second, -time.Hour} {
		s.write(s.removal(key, earlier))
		s.want(key, "value")
	}
	s.write(cache.Change{Key: key})
	s.want(key, "value")
	// The time of the present value counts, not that of an earlier one.
	s.put(key, "newer", time.Second)
	s.write(s.removal(key, 0))
	s.want(key, "newer")
	s.write(s.removal(key, time.Second))
	s.wantMissing(key)
	for _, fetched := range append(sameInstant(s.now), s.now.Add(time.Hour)) {
		s.put(key, "again", 0)
		s.write(cache.Change{Key: key, Fetched: fetched})
		s.wantMissing(key)
	}
}

// testOrderOfExpired has entries that were fetched while the clock was a year ahead, and have
// expired.
func (s *storeTest) testOrderOfExpired() {
	ahead := func(key string) {
		s.Helper()
		s.putAt(key, "expired", s.now.Add(365*24*time.Hour), s.now.Add(-time.Second))
	}
	ahead("a.example")
	s.put("a.example", "valid", 0)
	s.put("b.example", "first", 0)
	ahead("b.example")
	s.put("b.example", "valid", 1)
	ahead("c.example")
	s.write(s.removal("c.example", 0))
	for range 2 {
		s.want("a.example", "valid")
		s.want("b.example", "valid")
		s.wantMissing("c.example")
		s.again()
	}
}

func (s *storeTest) testExpiry() {
	// Expires is not rounded down to a whole second, and a Write of another key does not drop
	// the entry before.
	start := time.Now()
	for ms := 20; ms <= 200; ms += 20 {
		expires := start.Add(time.Duration(ms) * time.Millisecond)
		key := fmt.Sprintf("soon%d.example", ms)
		s.putAt(key, "", s.now, expires)
		for i := 0; ; i++ {
			s.put("beside.example", fmt.Sprint(i), time.Since(s.now))
			_, ok, err := s.Get(s.Context(), key)
			if !time.Now().Before(expires) {
				break
			}
			if !ok || err != nil {
				s.Fatalf("Get(%q) %v before it expires: %v, %v", key, time.Until(expires), ok, err)
			}
		}
		s.delete(key)
	}
	s.delete("beside.example")

	// These are enough to make a store with a limit drop some.
	want := map[string]string{}
	var wg sync.WaitGroup
	for i := range 3000 {
		key := fmt.Sprintf("host%d.example", i)
		want[key] = key
		wg.Go(func() { s.putAt(key, key, s.now, s.now.Add(time.Minute+time.Duration(i)*time.Hour)) })
	}
	wg.Wait()
	s.wantAll(want)
}

func (s *storeTest) testExpired() {
	const key = "example.com"
	past := s.now.Add(-time.Hour)
	s.putAt(key, "expired", past, past.Add(time.Minute))
	if _, _, err := s.Get(s.Context(), key); err != nil {
		s.Errorf("Get of an expired entry: %v", err)
	}
	s.put(key, "valid", 0)
	s.wantAll(map[string]string{key: "valid"})
	s.putAt(key, "expired", past, past.Add(time.Minute))
	s.wantAll(map[string]string{key: "valid"})
}
