package mtaststest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

func (s *storeTest) testConcurrentKey() {
	const key, writers, writes = "example.com", 8, 50
	s.put(key, fmt.Sprint(0), 0)
	last := 0
	s.while(func() {
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for _, i := range rand.Perm(writes) {
					n := 1 + i*writers + w
					s.put(key, fmt.Sprint(n), time.Duration(n))
					if got := s.number(key); got < n {
						s.Errorf("the value is %d after a Write of %d", got, n)
					}
				}
			})
		}
		wg.Wait()
	}, 1, func() {
		n := s.number(key)
		if n < last {
			s.Errorf("the value %d was replaced by the older %d", last, n)
		}
		last = n
	})
	s.want(key, fmt.Sprint(writers*writes))
}

// testConcurrentDelete removes each value but the last as soon as a reader has found it, while
// newer ones are written. The last one must stay.
func (s *storeTest) testConcurrentDelete() {
	const key, writes = "example.com", 50
	s.while(func() {
		for n := range writes + 1 {
			s.put(key, fmt.Sprint(n), time.Duration(n))
		}
	}, 4, func() {
		value, ok, err := s.Get(s.Context(), key)
		n := writes
		if ok && err == nil {
			_, err = fmt.Sscan(string(value), &n)
		}
		if err != nil {
			s.Errorf("Get = %q, %v, %v", value, ok, err)
		}
		if n < writes {
			s.write(s.removal(key, time.Duration(n)))
		}
	})
	s.want(key, fmt.Sprint(writes))
}

func (s *storeTest) testConcurrent() {
	var wg sync.WaitGroup
	want := map[string]string{}
	for w := range 16 {
		stays, removed := fmt.Sprintf("stays%d.example", w), fmt.Sprintf("removed%d.example", w)
		want[stays] = fmt.Sprint("19 of ", stays)
		wg.Go(func() {
			for i := range 20 {
				value := fmt.Sprint(i, " of ", stays)
				s.put(stays, value, time.Duration(i))
				s.put(removed, value, 0)
				s.want(stays, value)
				if _, _, err := s.Scan(s.Context(), removed, 3); err != nil {
					s.Errorf("Scan: %v", err)
				}
				s.write(s.removal(removed, 0))
				s.wantMissing(removed)
			}
		})
	}
	wg.Wait()
	s.wantAll(want)
}

// testContext calls methods with a context that has ended. A method may ignore that, or fail
// because of it, but it must not do a part of its work or fail for another reason.
func (s *storeTest) testContext() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	s.put("old.example", "old", 0)
	allowed := func(what string, err error) (worked bool) {
		s.Helper()
		if err != nil && !errors.Is(err, context.Canceled) {
			s.Errorf("%s: %v; want no error, or context.Canceled", what, err)
		}
		return err == nil
	}

	value, ok, err := s.Get(ctx, "old.example")
	if allowed("Get", err) && (!ok || string(value) != "old") {
		s.Errorf("Get = %q, %v", value, ok)
	}
	keys, _, err := s.Scan(ctx, "", 5)
	if allowed("Scan", err) && len(keys) != 1 {
		s.Errorf("Scan = %q", keys)
	}
	want := map[string]string{"old.example": "old"}
	if allowed("Write", s.Write(ctx, []cache.Change{s.change("old.example", "new", 1), s.change("new.example", "new", 0)})) {
		want["old.example"], want["new.example"] = "new", "new"
	}
	s.wantAll(want)
	if allowed("Write", s.Write(ctx, []cache.Change{s.removal("old.example", 1)})) {
		delete(want, "old.example")
	}
	s.wantAll(want)
}
