package mtaststest

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
)

// TestShared tests that a SharedStore keeps what the contract of [mtasts.SharedStore] adds to that
// of [mtasts.Store], for which there is [TestStore].
//
// open returns two stores with the same entries, as two clients have them, and none of an earlier
// call. TestShared closes them if they are an [io.Closer]. It is a failure if notices do not come
// within ten seconds.
func TestShared(t *testing.T, open func(t *testing.T) (a, b mtasts.SharedStore)) {
	for _, test := range []struct {
		name string
		run  func(s *sharedTest)
	}{
		{"one client reads what the other has written", (*sharedTest).testBoth},
		{"a lease has one holder until it ends", (*sharedTest).testLease},
		{"one of many takes a lease", (*sharedTest).testLeaseRace},
		{"a change is noticed", (*sharedTest).testNotice},
		{"an alert is noticed", (*sharedTest).testAlert},
		{"Watch ends with its context", (*sharedTest).testWatchEnds},
		{"a context that has ended", (*sharedTest).testContext},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &sharedTest{T: t}
			s.a, s.b = open(t)
			t.Cleanup(func() {
				for _, store := range []mtasts.SharedStore{s.a, s.b} {
					if c, ok := store.(io.Closer); ok {
						if err := c.Close(); err != nil {
							t.Errorf("Close: %v", err)
						}
					}
				}
			})
			test.run(s)
		})
	}
}

// A sharedTest is a subtest with two stores that share their entries.
type sharedTest struct {
	*testing.T
	a, b mtasts.SharedStore
}

func (s *sharedTest) write(store mtasts.SharedStore, key, value string, fetched time.Time) {
	s.Helper()
	change := cache.Change{Key: key, Value: []byte(value), Fetched: fetched, Expires: fetched.Add(time.Hour)}
	if err := store.Write(s.Context(), []cache.Change{change}); err != nil {
		s.Fatalf("Write: %v", err)
	}
}

func (s *sharedTest) want(store mtasts.SharedStore, key, value string) {
	s.Helper()
	if got, ok, err := store.Get(s.Context(), key); err != nil || !ok || string(got) != value {
		s.Errorf("Get(%q) = %q, %v, %v; want %q", key, got, ok, err, value)
	}
}

func (s *sharedTest) testBoth() {
	now := time.Now()
	s.write(s.a, "example.com", "of a", now)
	s.want(s.b, "example.com", "of a")
	s.write(s.b, "example.com", "of b, and older", now.Add(-1))
	s.want(s.a, "example.com", "of a")
	s.write(s.b, "example.com", "of b", now.Add(1))
	s.want(s.a, "example.com", "of b")
}

func (s *sharedTest) lease(store mtasts.SharedStore, name string, d time.Duration) bool {
	s.Helper()
	ok, err := store.Lease(s.Context(), name, d)
	if err != nil {
		s.Fatalf("Lease(%q): %v", name, err)
	}
	return ok
}

func (s *sharedTest) testLease() {
	const d = 200 * time.Millisecond
	began := time.Now()
	if !s.lease(s.a, "fetch/example.com/1", d) {
		s.Fatal("nobody holds the lease, and it is not given")
	}
	if s.lease(s.b, "fetch/example.com/1", d) && time.Since(began) < d {
		s.Error("two clients hold one lease")
	}
	if s.lease(s.a, "fetch/example.com/1", d) && time.Since(began) < d {
		s.Error("one client has a lease twice")
	}
	if !s.lease(s.b, "fetch/example.com/2", d) {
		s.Error("another lease is not given")
	}
	s.await("the lease does not end", func() bool { return s.lease(s.b, "fetch/example.com/1", time.Minute) })
	if took := time.Since(began); took < d {
		s.Errorf("the lease ended after %v of %v", took, d)
	}
	if keys, _, err := s.a.Scan(s.Context(), "", 10); err != nil || len(keys) != 0 {
		s.Errorf("with leases and no entries, Scan = %q, %v", keys, err)
	}
}

func (s *sharedTest) testLeaseRace() {
	var holders sync.Map
	var work sync.WaitGroup
	for i := range 20 {
		store := []mtasts.SharedStore{s.a, s.b}[i%2]
		work.Go(func() {
			if ok, err := store.Lease(s.Context(), "walk", time.Minute); err != nil {
				s.Errorf("Lease: %v", err)
			} else if ok {
				holders.Store(i, true)
			}
		})
	}
	work.Wait()
	n := 0
	holders.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		s.Errorf("%d clients hold one lease", n)
	}
}

// watch returns a function that reports whether a notice has come since the last call.
func (s *sharedTest) watch(store mtasts.SharedStore) (noticed func(mtasts.Notice) bool) {
	var mu sync.Mutex
	got := make(map[mtasts.Notice]bool)
	ctx, cancel := context.WithCancel(s.Context())
	var work sync.WaitGroup
	work.Go(func() {
		store.Watch(ctx, func(n mtasts.Notice) {
			mu.Lock()
			defer mu.Unlock()
			got[n] = true
		})
	})
	s.Cleanup(func() { cancel(); work.Wait() })
	return func(n mtasts.Notice) bool {
		mu.Lock()
		defer mu.Unlock()
		// A notice about all keys counts for each.
		there := got[n] || !n.Alert && got[mtasts.Notice{}]
		clear(got)
		return there
	}
}

func (s *sharedTest) testNotice() {
	noticed := s.watch(s.b)
	at := time.Now()
	change := func() { // Watch may have begun a moment later
		at = at.Add(1)
		s.write(s.a, "example.com", "value", at)
	}
	s.await("no notice of a new value", func() bool { change(); return noticed(mtasts.Notice{Key: "example.com"}) })
	s.await("no notice of the next value", func() bool { change(); return noticed(mtasts.Notice{Key: "example.com"}) })
	s.await("no notice of a removal", func() bool {
		if err := s.a.Write(s.Context(), []cache.Change{{Key: "example.com", Fetched: at}}); err != nil {
			s.Fatal(err)
		}
		if noticed(mtasts.Notice{Key: "example.com"}) {
			return true
		}
		change()
		return false
	})
}

func (s *sharedTest) testAlert() {
	noticed := s.watch(s.b)
	s.await("no notice of an alert", func() bool {
		if err := s.a.Alert(s.Context(), "example.com"); err != nil {
			s.Fatal(err)
		}
		return noticed(mtasts.Notice{Key: "example.com", Alert: true})
	})
	if keys, _, err := s.a.Scan(s.Context(), "", 10); err != nil || len(keys) != 0 {
		s.Errorf("after an alert about a key that is not there, Scan = %q, %v", keys, err)
	}
}

func (s *sharedTest) testWatchEnds() {
	ctx, cancel := context.WithCancel(s.Context())
	ended := make(chan struct{})
	go func() {
		s.a.Watch(ctx, func(mtasts.Notice) {})
		close(ended)
	}()
	cancel()
	select {
	case <-ended:
	case <-time.After(noticeLimit):
		s.Error("Watch goes on")
	}
}

func (s *sharedTest) testContext() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if ok, err := s.a.Lease(ctx, "walk", time.Minute); ok || err == nil {
		s.Errorf("Lease = %v, %v; want an error", ok, err)
	}
	if !s.lease(s.b, "walk", time.Minute) {
		s.Error("a Lease with a context that has ended has taken the lease")
	}
	if err := s.a.Alert(ctx, "example.com"); err == nil {
		s.Error("Alert: no error")
	}
	if waited, err := s.a.Settle(ctx); waited {
		s.Errorf("Settle = %v, %v; want no wait", waited, err)
	}
}

// noticeLimit is how long a test waits for what is to come at once.
const noticeLimit = 10 * time.Second

func (s *sharedTest) await(failure string, ok func() bool) {
	s.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(noticeLimit); !ok(); <-tick.C {
		if time.Now().After(end) {
			s.Fatal(failure)
		}
	}
}
