package mtaststest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

func (s *storeTest) testScan() {
	// This is the byte order. Collations have another one.
	order := []string{"-", ".", "0", "9", "9.example", "_", "a", "a-b", "a.", "a.a", "a.b", "a0", "a9", "a_b", "aa", "ab", "b", "z", "zz"}
	for _, i := range rand.Perm(len(order)) {
		s.put(order[i], "of "+order[i], 0)
	}
	for limit := 1; limit <= len(order)+1; limit++ {
		keys, values := s.scan(limit)
		if !slices.Equal(keys, order) {
			s.Fatalf("with limit %d: %q\nwant %q", limit, keys, order)
		}
		for i, key := range keys {
			if values[i] != "of "+key {
				s.Errorf("with limit %d: value of %q is %q", limit, key, values[i])
			}
		}
	}
	for _, c := range []struct {
		after string
		limit int
		want  []string
	}{
		{"", 2, []string{"-", "."}},
		{"a.", 2, []string{"a.a", "a.b"}},  // greater, not equal
		{"a.aa", 2, []string{"a.b", "a0"}}, // after need not be there
		{"y", 3, []string{"z", "zz"}},      // fewer: the end
		{"z", 1, []string{"zz"}},           // the end, but as many as the limit
		{"zz", 1, nil},                     // none after the last
		{"zzz", 5, nil},                    // or after it
		{"zz", 1 << 20, nil},               // with any limit
		{"a9", 1 << 20, order[13:]},        // a limit may be large
		{"\xff\xff", 1, nil},               // after need not be a key
		{"A", 1, []string{"_"}},            // nor in lower case
		{strings.Repeat("z", 300), 1, nil}, // nor of a key's length
		{"-" + strings.Repeat("a", 252), 1, []string{"."}},
	} {
		keys, _, err := s.Scan(s.Context(), c.after, c.limit)
		if err != nil || !slices.Equal(keys, c.want) {
			s.Errorf("Scan(%q, %d) = %q, %v; want %q", c.after, c.limit, keys, err, c.want)
		}
	}
}

func (s *storeTest) testScanWhileWriting() {
	const n = 300
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("k%03d.stays", i)
		s.put(want[i], "stays", 0)
	}
	var next atomic.Int64
	s.while(func() {
		for limit := 1; limit <= 20; limit++ {
			keys, values := s.scan(limit)
			var stay []string
			for i, key := range keys {
				if strings.HasSuffix(key, ".stays") {
					stay = append(stay, key)
					if values[i] != "stays" {
						s.Errorf("value of %q is %q", key, values[i])
					}
				}
			}
			if !slices.Equal(stay, want) {
				s.Errorf("with limit %d, Scan returned %d of the %d entries that were there all the time", limit, len(stay), n)
			}
		}
	}, 4, func() {
		i := int(next.Add(1))
		key := fmt.Sprintf("k%03d.removed", i%n)
		s.put(key, "value", 0)
		s.put(want[i%n], "stays", time.Duration(i))
		s.write(s.removal(key, 0))
	})

	// The caller may write between two calls.
	keys, _, err := s.Scan(s.Context(), "", 1)
	for err == nil && len(keys) == 1 {
		s.delete(keys[0])
		keys, _, err = s.Scan(s.Context(), keys[0], 1)
	}
	if err != nil {
		s.Error(err)
	}
	s.wantAll(nil)
}
