package mtasts

import (
	"container/heap"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// However many refreshes are due, only so many are planned; and all of those that are due
// before the next walk.
func TestTheQueueOfRefreshesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := &refresher{
			horizon: start.Add(scanEvery),
			wake:    make(chan struct{}, 1),
			closer:  make(chan struct{}, 1),
			queued:  make(map[string]bool),
		}
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
		r := &refresher{
			horizon: time.Now().Add(scanEvery),
			wake:    make(chan struct{}, 1),
			closer:  make(chan struct{}, 1),
			queued:  make(map[string]bool),
		}
		for i := range maxJobs + 1000 {
			r.plan(job{domain: fmt.Sprint(i), at: time.Now()})
		}
		if n, span := len(r.jobs), r.untilWalk(); n != maxJobs || span > time.Minute || span < 20*time.Second {
			t.Errorf("%d are planned, and the next walk is in %v", n, span)
		}
	})
}
