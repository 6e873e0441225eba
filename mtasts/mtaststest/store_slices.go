package mtaststest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// testSlices tests that a store keeps no slice of its caller, and that nothing changes a slice
// that it has returned.
func (s *storeTest) testSlices() {
	want := map[string]string{"a.example": "aaaa", "b.example": "bbbb", "c.example": "cccc"}
	for key, value := range want {
		changes := []cache.Change{s.change(key, value, 0)}
		s.write(changes...)
		copy(changes[0].Value, "XXXX")
		clear(changes)
	}
	s.wantAll(want)

	got, _, err := s.Get(s.Context(), "a.example")
	if err != nil || len(got) != 4 {
		s.Fatalf("Get = %q, %v", got, err)
	}
	s.put("a.example", "new!", time.Second)
	if string(got) != "aaaa" {
		s.Errorf("a Write changed the value of an earlier Get to %q", got)
	}
	want["a.example"] = "new!"
	if got, _, err = s.Get(s.Context(), "a.example"); err != nil {
		s.Fatal(err)
	}
	copy(got, "XXXX")
	_ = append(got, 'X')
	s.wantAll(want)

	keys, values, err := s.Scan(s.Context(), "", 10)
	if err != nil || len(values) != 3 {
		s.Fatalf("Scan = %q, %q, %v", keys, values, err)
	}
	for i := range values {
		_ = append(values[i], 'X') // would change the next value if they shared an array
	}
	for i, key := range keys {
		if string(values[i]) != want[key] {
			s.Errorf("append to a value of a Scan changed the value of %q to %q", key, values[i])
		}
		copy(values[i], "XXXX")
	}
	s.wantAll(want)
	for _, key := range keys {
		s.delete(key)
	}
	if !slices.Equal(keys, []string{"a.example", "b.example", "c.example"}) {
		s.Errorf("removals changed the keys of an earlier Scan to %q", keys)
	}

	// Later calls use no array of an earlier one.
	long := func(i int) (key, value string) {
		key = fmt.Sprintf("%03d.example", i)
		return key, strings.Repeat(key, 30)
	}
	for i := range 100 {
		key, value := long(i)
		s.put(key, value, 0)
	}
	var gotten [][]byte
	for i := range 100 {
		key, _ := long(i)
		value, _, err := s.Get(s.Context(), key)
		if err != nil {
			s.Fatal(err)
		}
		gotten = append(gotten, value)
	}
	_, values, err = s.Scan(s.Context(), "", 100)
	if err != nil || len(values) != 100 {
		s.Fatalf("Scan returned %d entries, %v", len(values), err)
	}
	s.scan(3)
	for i := range 100 {
		if key, want := long(i); string(gotten[i]) != want || string(values[i]) != want {
			s.Errorf("%q: later calls changed the value of a Get to %s and that of a Scan to %s",
				key, quoteShort(string(gotten[i])), quoteShort(string(values[i])))
		}
	}
}
