package mtaststest

import (
	"bytes"
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
	stop := make(chan struct{})
	var reader, wg sync.WaitGroup
	reader.Go(func() {
		for last := 0; ; {
			select {
			case <-stop:
				return
			default:
			}
			value, ok, err := s.Get(s.Context(), key)
			var n int
			if _, scanErr := fmt.Sscan(string(value), &n); err != nil || !ok || scanErr != nil {
				s.Errorf("Get = %q, %v, %v", value, ok, err)
				return
			}
			if n < last {
				s.Errorf("the value fetched at %d was replaced by that of %d", last, n)
				return
			}
			last = n
		}
	})
	for w := range writers {
		wg.Go(func() {
			for _, i := range rand.Perm(writes) {
				n := 1 + i*writers + w
				if err := s.tryPut(key, fmt.Append(nil, n), s.now.Add(time.Duration(n)), s.now.Add(time.Hour)); err != nil {
					s.Errorf("Write: %v", err)
					return
				}
				// What is there now is this or later.
				var held int
				if value, _, err := s.Get(s.Context(), key); err != nil {
					s.Errorf("Get: %v", err)
				} else if _, err := fmt.Sscan(string(value), &held); err != nil || held < n {
					s.Errorf("Get = %q after a Write of %d", value, n)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	reader.Wait()
	s.want(key, fmt.Sprint(writers*writes))
}

// testConcurrentDelete gives up each value of a key as soon as it has been seen, while
// newer ones are put. Whichever is seen, the last one must stay.
func (s *storeTest) testConcurrentDelete() {
	const key, removers, writes = "example.com", 4, 50
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range removers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				value, ok, err := s.Get(s.Context(), key)
				n := 0
				if ok && err == nil {
					_, err = fmt.Sscan(string(value), &n)
				}
				// The last one is never given up.
				if ok && err == nil && n < writes {
					err = s.tryDelete(key, s.now.Add(time.Duration(n)))
				}
				if err != nil {
					s.Errorf("the value %q: %v", value, err)
					return
				}
			}
		})
	}
	for n := range writes + 1 {
		s.put(key, fmt.Sprint(n), time.Duration(n))
	}
	close(stop)
	wg.Wait()
	s.want(key, fmt.Sprint(writes))
}

func (s *storeTest) testConcurrent() {
	var wg sync.WaitGroup
	want := map[string]string{}
	for w := range 16 {
		stays, goes := fmt.Sprintf("stays%d.example", w), fmt.Sprintf("goes%d.example", w)
		want[stays] = fmt.Sprintf("value 19 of %s", stays)
		wg.Go(func() {
			for i := range 20 {
				value := fmt.Appendf(nil, "value %d of %s", i, stays)
				err := s.tryPut(stays, value, s.now.Add(time.Duration(i)), s.now.Add(time.Hour))
				if err == nil {
					err = s.tryPut(goes, value, s.now, s.now.Add(time.Hour))
				}
				got, ok, getErr := s.Get(s.Context(), stays)
				if err = errors.Join(err, getErr); err != nil || !ok || !bytes.Equal(got, value) {
					s.Errorf("Get(%q) = %q, %v, %v; want %q", stays, got, ok, err, value)
				}
				if _, _, err := s.Scan(s.Context(), goes, 3); err != nil {
					s.Errorf("Scan: %v", err)
				}
				if err := s.tryDelete(goes, s.now); err != nil {
					s.Errorf("removal: %v", err)
				}
				if _, ok, err := s.Get(s.Context(), goes); ok || err != nil {
					s.Errorf("Get(%q) = %v, %v after it was removed", goes, ok, err)
				}
			}
		})
	}
	wg.Wait()
	s.wantAll(want)
}

// testContext allows a method to ignore that ctx has ended, or to fail because
// of that, but not to fail halfway or for another reason.
func (s *storeTest) testContext() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	s.put("held.example", "held", 0)
	allowed := func(what string, err error) (worked bool) {
		s.Helper()
		if err != nil && !errors.Is(err, context.Canceled) {
			s.Errorf("%s: %v; want no error, or context.Canceled", what, err)
		}
		return err == nil
	}

	value, ok, err := s.Get(ctx, "held.example")
	if allowed("Get", err) && (!ok || string(value) != "held") {
		s.Errorf("Get = %q, %v", value, ok)
	}
	keys, _, err := s.Scan(ctx, "", 5)
	if allowed("Scan", err) && len(keys) != 1 {
		s.Errorf("Scan = %q", keys)
	}
	want := map[string]string{"held.example": "held"}
	if allowed("Write", s.Write(ctx, []cache.Change{s.change("held.example", "new", 1), s.change("new.example", "new", 0)})) {
		want["held.example"], want["new.example"] = "new", "new"
	}
	s.wantAll(want)
	if allowed("Write", s.Write(ctx, []cache.Change{{Key: "held.example", Fetched: s.now.Add(1)}})) {
		delete(want, "held.example")
	}
	s.wantAll(want)
}
