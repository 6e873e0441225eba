package mtasts

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// scanEvery is the time between two walks through the store, at most. A walk finds
	// what another process, or this one before a restart, has stored; what this
	// one learns is scheduled at once.
	scanEvery = 2 * time.Hour

	// scanBatch is how many entries are read from the store at a time.
	scanBatch = 500

	// maxRefreshes bounds the fetches of Run under way, and so its sockets. It is
	// high because a policy host that never answers holds its place for a minute.
	maxRefreshes = 128

	// idleAfter is how long nobody must have asked about a domain for its policy
	// to be left to expire.
	idleAfter = 30 * 24 * time.Hour
)

// Run keeps what is remembered alive until ctx ends or the client is closed, and
// then returns nil. Without it a policy lives for max_age from the last change of
// its id, and an attacker needs only to wait for the end of that.
//
// RFC 8461, Sections 3.3 and 10.2: each policy that is in use is fetched again over
// HTTPS, whatever the TXT record says, at a random time at 30 to 70 % of its life
// and at most 24 hours after its last fetch. A domain about which nobody has asked
// for 30 days is left to expire, and removed then. What is overdue after a restart
// is spread over an hour, or over longer if it is very much. Processes that share a store
// share the work.
//
// A fetch that fails is tried again, and reported as [EventRefresh] with a Severity
// that rises as the end of the policy's life comes nearer.
//
// Only one Run at a time does the work; another returns an error at once.
func (c *Client) Run(ctx context.Context) error {
	r := newRefresher(c)
	if !c.refresher.CompareAndSwap(nil, r) {
		return &Error{Reason: ReasonAlreadyRunning, Err: errors.New("Run is running already")}
	}
	defer c.refresher.Store(nil)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.work.Add(1) // Close waits for what is learnt and noted here
	c.mu.Unlock()
	defer c.work.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()

	var scanner sync.WaitGroup
	scanner.Go(func() { r.scan(ctx) })
	r.dispatch(ctx)
	scanner.Wait()
	r.work.Wait()
	r.saveUses()
	return nil
}

// A refresher is a Run.
type refresher struct {
	client   *Client
	schedule schedule
	pace     pace
	slots    chan struct{} // a place for each fetch under way
	work     sync.WaitGroup
	wake     chan struct{} // of capacity 1: the first of jobs has changed

	stored  atomic.Int64  // octets in the store, at most
	known   atomic.Bool   // as the last walk has found: without that, nothing is refused
	crowded chan struct{} // of capacity 1: they are above the quota
	stuck   atomic.Bool   // and nothing could be given up

	mu      sync.Mutex
	horizon time.Time     // when the next walk is; jobs due after it are left to it
	closer  chan struct{} // of capacity 1: that is earlier than it was
	jobs    jobQueue
	queued  map[string]bool // the domains in jobs or under way
	uses    map[string]time.Time
	failing map[string]*trouble
}

func newRefresher(c *Client) *refresher {
	return &refresher{
		client:   c,
		schedule: newSchedule(),
		slots:    make(chan struct{}, maxRefreshes),
		wake:     make(chan struct{}, 1),
		crowded:  make(chan struct{}, 1),
		closer:   make(chan struct{}, 1),
		horizon:  time.Now().Add(scanEvery),
		queued:   make(map[string]bool),
		uses:     make(map[string]time.Time),
		failing:  make(map[string]*trouble),
	}
}

// consider plans the next refresh of p, last used at used. It is called for each
// entry of the store on a walk, and for each policy that is learnt or used.
func (r *refresher) consider(p *Policy, used time.Time) {
	now := time.Now()
	if now.Sub(used) > idleAfter || !p.valid(now) {
		return
	}
	if p.Expires.Sub(p.Fetched) <= fetchSpacing {
		return // too short a life to be prolonged: it is fetched again when somebody asks
	}
	r.plan(job{domain: p.Domain, fetched: p.Fetched, at: r.schedule.due(p, now)})
}

// dispatch starts each job when its time has come, until ctx ends.
func (r *refresher) dispatch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.mu.Lock()
		var next job
		wait := scanEvery
		if len(r.jobs) > 0 {
			next = r.jobs[0]
			wait = time.Until(next.at)
		}
		if next.domain != "" && wait <= 0 {
			heap.Pop(&r.jobs)
		}
		r.mu.Unlock()

		if next.domain == "" || wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-r.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		r.work.Go(func() {
			defer func() { <-r.slots }()
			r.do(ctx, next)
		})
	}
}

// do refreshes a domain, or puts it off for the sake of its policy host.
func (r *refresher) do(ctx context.Context, j job) {
	c := r.client
	if !j.paced {
		j.paced = true
		if at := r.pace.reserve(c.policyHostKey(ctx, j.domain)); time.Until(at) > 0 {
			j.at = at
			r.mu.Lock()
			r.push(j)
			r.mu.Unlock()
			return
		}
	}
	f := c.refreshNow(ctx, j)
	if f != nil && f.held != nil && f.failure != nil {
		if !f.blocked {
			r.failed(f.held, f.failure)
		}
		r.mu.Lock()
		r.push(job{domain: j.domain, fetched: f.held.Fetched, at: r.schedule.retry(f.held, time.Now())})
		r.mu.Unlock()
		return
	}
	r.mu.Lock()
	delete(r.queued, j.domain)
	r.mu.Unlock()
	if f != nil && f.held != nil {
		r.recovered(f.held)
		r.consider(f.held, f.used)
	}
}
