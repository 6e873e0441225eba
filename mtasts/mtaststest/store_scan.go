package mtaststest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

func (s *storeTest) testScan() {
	// Byte order, which no collation has: '-' '.' digits '_' letters.
	order := []string{"-", ".", "0", "9", "9.example", "_", "a", "a-b", "a.", "a.a", "a.b", "a0", "a9", "a_b", "aa", "ab", "b", "z", "zz"}
	for _, i := range rand.Perm(len(order)) {
		s.put(order[i], "of "+order[i], 0)
	}
	for limit := 1; limit <= len(order)+1; limit++ {
		keys, values := s.scan(limit)
		if !slices.Equal(keys, order) {
			s.Fatalf("in steps of %d: %q\nwant %q", limit, keys, order)
		}
		for i, key := range keys {
			if values[i] != "of "+key {
				s.Errorf("in steps of %d: value of %q is %q", limit, key, values[i])
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
		{"z", 1, []string{"zz"}},           // as many as asked for, though the end
		{"zz", 1, nil},                     // nothing after the last
		{"zzz", 5, nil},                    // or later
		{"zz", 1 << 20, nil},               // whatever the limit
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
	stop := make(chan struct{})
	var wg sync.WaitGroup
	halt := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer halt()
	for w := range 4 {
		wg.Go(func() {
			for i := w; ; i += 4 {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("k%03d.comes.and.goes", i%n)
				err := errors.Join(
					s.tryPut(key, []byte("comes"), s.now, s.now.Add(time.Hour)),
					s.tryPut(want[i%n], []byte("stays"), s.now.Add(time.Duration(i)), s.now.Add(time.Hour)),
					s.tryDelete(key, s.now),
				)
				if err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	for limit := range 20 {
		keys, values := s.scan(limit + 1)
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
			s.Errorf("in steps of %d: found %d of the %d entries that were there all the time", limit+1, len(stay), n)
		}
	}
	halt()

	// Nothing is held between two steps, so the caller may write in between.
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
