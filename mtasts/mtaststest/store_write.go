package mtaststest

import (
	"fmt"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// testMany writes a thousand changes at once: new values, replacements, removals, and some
// that are older than the entry.
func (s *storeTest) testMany() {
	if err := s.Write(s.Context(), nil); err != nil {
		s.Errorf("Write of no changes: %v", err)
	}
	want := map[string]string{}
	var first, second []cache.Change
	for i := range 1000 {
		key, value := fmt.Sprintf("%03d.example", i*7919%1000), fmt.Sprintf("value %d", i)
		if i%50 == 7 {
			value = strings.Repeat(value, 2000) // several pages in most files
		}
		want[key] = value
		switch i % 5 {
		case 0:
			first = append(first, s.change(key, "old", 0))
			second = append(second, s.change(key, value, 1))
		case 1:
			first = append(first, s.change(key, value, 1))
			second = append(second, s.change(key, "too late", 0))
		case 2:
			first = append(first, s.change(key, "old", 0))
			second = append(second, s.removal(key, 0))
			delete(want, key)
		case 3:
			first = append(first, s.change(key, value, 1))
			second = append(second, s.removal(key, 0)) // too late
		case 4:
			second = append(second, s.change(key, value, 0))
		}
	}
	s.write(first...)
	s.write(second...)
	s.wantAll(want)
	s.again()
	s.wantAll(want)
}

func (s *storeTest) testSequence() {
	expired := s.change("expired.example", "expired", time.Minute)
	expired.Expires = s.now.Add(-time.Second)
	s.write(
		s.change("replaced.example", "one", 0), s.change("other.example", "other", 0), s.change("replaced.example", "two", 0),
		s.change("late.example", "newer", 1), s.change("late.example", "older", 0),
		s.change("removed.example", "value", 0), s.removal("removed.example", 0),
		s.change("kept.example", "value", 1), s.removal("kept.example", 0),
		s.removal("again.example", time.Minute), s.change("again.example", "value", 0),
		s.change("thrice.example", "one", 5), s.removal("thrice.example", 5), s.change("thrice.example", "two", 0),
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

// testAtomic writes the same number under two keys, again and again. A reader of one key and
// then the other never finds a lower number under the second.
func (s *storeTest) testAtomic() {
	both := func(n int) {
		age, value := time.Duration(n), fmt.Sprint(n)
		s.write(s.change("a.example", value, age), s.change("z.example", value, age))
	}
	both(0)
	s.while(func() {
		for n := range 100 {
			both(n)
		}
	}, 2, func() {
		for _, keys := range [][2]string{{"a.example", "z.example"}, {"z.example", "a.example"}} {
			if first, second := s.number(keys[0]), s.number(keys[1]); second < first {
				s.Errorf("%q has %d after %q had %d", keys[1], second, keys[0], first)
			}
		}
	})
}
