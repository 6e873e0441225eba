package mtasts

import (
	"container/heap"
	"slices"
	"time"
)

// maxJobs bounds the refreshes that are planned, and so what Run holds in memory of a
// store of millions. If more are due before the next walk, that walk comes earlier.
const maxJobs = 50_000

// A job is a refresh to be done.
type job struct {
	domain  string
	fetched time.Time // of the policy that the time is for
	at      time.Time
	paced   bool // the time has been agreed with the pace of its policy host
}

// plan puts j into the queue, unless its domain is in there or it can wait for the
// next walk.
func (r *refresher) plan(j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queued[j.domain] {
		return
	}
	for len(r.queued) >= maxJobs && !j.at.After(r.horizon) {
		if time.Until(r.horizon) < time.Minute {
			return // more than can be done by then
		}
		r.comeCloser()
	}
	if j.at.After(r.horizon) {
		return
	}
	r.queued[j.domain] = true
	r.push(j)
}

// comeCloser has the next walk in half the time that is left, and leaves to it what is due
// later. The lock is held.
func (r *refresher) comeCloser() {
	r.horizon = time.Now().Add(time.Until(r.horizon) / 2)
	r.jobs = slices.DeleteFunc(r.jobs, func(j job) bool {
		later := j.at.After(r.horizon)
		if later {
			delete(r.queued, j.domain)
		}
		return later
	})
	heap.Init(&r.jobs)
	r.pace.cutOff(r.horizon) // the jobs for which more was reserved are left out too
	select {
	case r.closer <- struct{}{}:
	default:
	}
}

// untilWalk is the time until the next walk.
func (r *refresher) untilWalk() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Until(r.horizon)
}

// push puts j into the queue. The lock is held.
func (r *refresher) push(j job) {
	heap.Push(&r.jobs, j)
	if r.jobs[0] == j {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// jobQueue is a heap of jobs by time.
type jobQueue []job

func (q jobQueue) Len() int           { return len(q) }
func (q jobQueue) Less(i, k int) bool { return q[i].at.Before(q[k].at) }
func (q jobQueue) Swap(i, k int)      { q[i], q[k] = q[k], q[i] }
func (q *jobQueue) Push(x any)        { *q = append(*q, x.(job)) }
func (q *jobQueue) Pop() any {
	last := len(*q) - 1
	j := (*q)[last]
	(*q)[last] = job{}
	*q = (*q)[:last]
	return j
}
