package mtasts

import (
	"container/heap"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

// However many refreshes are due, only so many are planned; and all of those that are due
// before the next walk.
func TestTheQueueOfRefreshesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := newRefresher(nil)
		const due = 5 * maxJobs / 2
		at := func(i int) time.Time { return start.Add(scanEvery * time.Duration(i*7919%due+1) / due) }
		for i := range due {
			r.plan(job{domain: fmt.Sprint(i), at: at(i)})
		}
		if n := len(r.jobs); n > maxJobs || n < maxJobs/3 || n != len(r.queued) {
			t.Errorf("%d are planned, %d known to be; want at most %d", n, len(r.queued), maxJobs)
		}
		if span := r.untilWalk(); span < scanEvery/4 || span >= scanEvery {
			t.Errorf("the next walk is in %v", span)
		}
		select {
		case <-r.closer:
		default:
			t.Error("nobody is told that it is earlier")
		}
		for i := range due {
			if want := !at(i).After(r.horizon); r.queued[fmt.Sprint(i)] != want {
				t.Fatalf("of those due by %v, one due at %v is planned: %v", r.horizon.Sub(start), at(i).Sub(start), !want)
			}
		}
		for last := start; len(r.jobs) > 0; {
			j := heap.Pop(&r.jobs).(job)
			if j.at.Before(last) {
				t.Fatal("they are out of order")
			}
			last = j.at
		}
	})
}

// Where even a minute has more than that, the rest waits for the walk behind it.
func TestTheQueueOfRefreshesIsBoundedInAnyCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefresher(nil)
		for i := range maxJobs + 1000 {
			r.plan(job{domain: fmt.Sprint(i), at: time.Now()})
		}
		if n, span := len(r.jobs), r.untilWalk(); n != maxJobs || span > time.Minute || span < 20*time.Second {
			t.Errorf("%d are planned, and the next walk is in %v", n, span)
		}
	})
}

// What does not fit in the queue is left to the next walk, but not for ever: whether each
// policy host has an address of its own, or all have the same, which is paced.
func TestAllThatIsOverdueIsRefreshed(t *testing.T) {
	for what, n := range map[string]int{"an address each": 5 * maxJobs / 2, "one address": 5 * maxJobs} {
		sameAddress := what == "one address"
		synctest.Test(t, func(t *testing.T) {
			file, err := parseFile(entryText)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			left := make(map[string]*Policy)
			for i := range n {
				name := fmt.Sprintf("d%d.example", i)
				left[name] = newPolicy(name, "1", file, start.Add(-48*time.Hour))
			}
			r := newRefresher(nil)
			for len(left) > 0 && time.Since(start) < 6*time.Hour {
				r.horizon = time.Now().Add(scanEvery) // as scan does
				for _, p := range left {
					r.consider(p, start)
				}
				for len(r.jobs) > 0 && !r.jobs[0].at.After(r.horizon) { // as dispatch does
					j := heap.Pop(&r.jobs).(job)
					time.Sleep(time.Until(j.at)) // in a bubble
					if sameAddress && !j.paced {
						j.paced, j.at = true, r.pace.reserve("192.0.2.1")
						r.push(j)
						continue
					}
					delete(left, j.domain)
					delete(r.queued, j.domain)
				}
				time.Sleep(r.untilWalk())
			}
			if len(left) > 0 {
				t.Errorf("%s: after %v, %d of %d are not refreshed", what, time.Since(start), len(left), n)
			}
		})
	}
}

// countedScans counts what is read of a store batch by batch.
type countedScans struct {
	Store
	n atomic.Int64
}

func (s *countedScans) Scan(ctx context.Context, after string, limit int) ([]string, [][]byte, error) {
	s.n.Add(1)
	return s.Store.Scan(ctx, after, limit)
}

func TestTheNextWalkComesCloser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countedScans{Store: new(cache.Memory)}
		r := newRefresher(New(store, nil))
		ctx, cancel := context.WithCancel(t.Context())
		go r.scan(ctx)
		synctest.Wait() // the first walk
		for range 3 {
			before := store.n.Load()
			for i := range maxJobs + 1 {
				r.plan(job{domain: fmt.Sprint(i), at: time.Now()})
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if store.n.Load() == before {
				t.Error("no walk within a minute")
			}
			r.mu.Lock()
			r.jobs, r.queued = nil, make(map[string]bool) // all has been done
			r.mu.Unlock()
		}
		cancel()
		synctest.Wait()
		r.client.Close()
	})
}
