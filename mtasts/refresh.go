package mtasts

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

const (
	// walkEvery is the time between two walks through the store.
	walkEvery = 15 * time.Minute

	// maxRefreshes bounds the fetches of Run under way, and so its sockets. It is
	// high because a policy host that never answers holds its place for a minute.
	maxRefreshes = 128

	// maxJobs bounds the refreshes that are planned, and so what Run holds in memory of a
	// store of millions. What is beyond it is left to the next walk.
	maxJobs = 200_000

	// idleAfter is how long nobody must have asked about a domain for its policy
	// to be left to expire.
	idleAfter = 30 * 24 * time.Hour

	// removedAfter is how long an entry must have been expired before it is removed. By
	// then nobody is about to renew it.
	removedAfter = 24 * time.Hour
)

// Run keeps what is cached alive until ctx ends or the client is closed, and
// then returns nil. Without it a policy lives for max_age from the last change of
// its id, and an attacker needs only to wait for the end of that.
//
// RFC 8461, Sections 3.3 and 10.2: each policy that is in use is fetched again over
// HTTPS, whatever the TXT record says, at a random time at 30 to 70 % of its life
// and at most 24 hours after its last fetch, but no sooner than five minutes after it. A
// domain about which nobody has asked for 30 days is left to expire, and removed then, and
// so is a policy that lives shorter than some 20 minutes. What is overdue after a restart
// is spread over an hour, or over longer if it is very much. Processes that share a store
// share the work.
//
// A fetch that fails is tried again, and reported as [EventRefresh] with a Severity
// that rises as the end of the policy's life comes nearer. Run also keeps the store within
// [Options].Quota.
//
// Only one Run at a time does the work; another returns an error at once.
func (c *Client) Run(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	if c.running {
		c.mu.Unlock()
		return &Error{Reason: ReasonAlreadyRunning, Err: errors.New("Run is running already")}
	}
	c.running = true
	c.work.Add(1) // Close waits for what is learnt here
	c.mu.Unlock()
	defer c.work.Done()
	defer func() {
		c.mu.Lock()
		c.running = false
		c.mu.Unlock()
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()

	r := &refresher{
		client:   c,
		schedule: newSchedule(),
		slots:    make(chan struct{}, maxRefreshes),
		wake:     make(chan struct{}, 1),
		busy:     make(map[string]bool),
	}
	c.refresher.Store(r)
	defer c.refresher.Store(nil)
	for ctx.Err() == nil {
		next := time.Now().Add(walkEvery)
		r.walk(ctx, next)
		r.dispatch(ctx, next)
	}
	r.work.Wait()
	c.quota.known.Store(false) // nobody counts any more
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

	steady steadyClock

	mu   sync.Mutex
	jobs []job           // until the next walk, the earliest last
	busy map[string]bool // the domains whose refresh is under way
}

// A job is a refresh to be done.
type job struct {
	domain  string
	fetched time.Time // of the policy that the time is for
	at      time.Time
	paced   bool // the time has been agreed with the pace of its policy host
}

// walk plans what is due before the next walk, removes what has expired, and has the
// quota enforced.
func (r *refresher) walk(ctx context.Context, next time.Time) {
	c := r.client
	var (
		t       tally
		jobs    []job
		expired []cache.Change
		now     = time.Now()
	)
	remove := func() {
		ctx, cancel := context.WithTimeout(ctx, storeLimit)
		defer cancel()
		c.store.Write(ctx, expired) // what fails is tried again on the next walk
		expired = nil
	}
	byMode := make(map[Mode]int64)
	steady := r.steady.since(now) >= time.Hour
	whole := c.walk(ctx, func(p *Policy, used time.Time, size int) bool {
		if p.valid(now) && p.lasts() {
			used = c.lastUse(p.Domain, used)
			byMode[p.Mode]++
			t.add(rank(p, used, now), size)
			if plain := p.withoutUntil(now); plain != nil {
				c.writer.note(plain, used, true)
			}
			if j, ok := r.plan(p, used, now); ok && len(jobs) < maxJobs && j.at.Before(next) {
				jobs = append(jobs, j)
			}
		} else if steady && now.Sub(p.storedUntil()) > removedAfter {
			expired = append(expired, cache.Change{Key: p.Domain, Fetched: p.stamp})
			if len(expired) == maxBatch {
				remove()
			}
		}
		return true
	})
	if len(expired) > 0 {
		remove()
	}
	c.alarms.prune(now)
	slices.SortFunc(jobs, later)
	r.mu.Lock()
	r.jobs = jobs
	r.mu.Unlock()
	if whole {
		c.stats.enforce.Store(byMode[ModeEnforce])
		c.stats.testing.Store(byMode[ModeTesting])
		c.stats.none.Store(byMode[ModeNone])
		c.quota.enforce(ctx, t, now)
	}
}

func later(a, b job) int { return b.at.Compare(a.at) }

// plan says when p, last used at used, is to be refreshed, if it is.
func (r *refresher) plan(p *Policy, used, now time.Time) (job, bool) {
	if now.Sub(used) > idleAfter || p.Expires.Sub(p.Fetched) <= fetchSpacing {
		return job{}, false // idle, or too short a life to be prolonged
	}
	at, failing := r.client.alarms.retryAt(p)
	if !failing {
		at = r.schedule.due(p, now)
	}
	return job{domain: p.Domain, fetched: p.Fetched, at: at}, true
}

// dispatch starts each job when its time has come, until it is time for the next walk.
func (r *refresher) dispatch(ctx context.Context, next time.Time) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for time.Now().Before(next) {
		r.mu.Lock()
		var first job
		until := next
		if n := len(r.jobs); n > 0 {
			first = r.jobs[n-1]
			if until = first.at; !until.After(time.Now()) {
				r.jobs = r.jobs[:n-1]
				if r.busy[first.domain] {
					r.mu.Unlock()
					continue
				}
				r.busy[first.domain] = true
			}
		}
		r.mu.Unlock()
		if wait := time.Until(until); wait > 0 {
			timer.Reset(min(wait, time.Until(next)))
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
			r.do(ctx, first)
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
			r.again(j)
			return
		}
	}
	l := c.refreshNow(ctx, j)
	if l == nil || l.held == nil {
		r.again(job{domain: j.domain})
		return
	}
	if l.failure == nil {
		c.stats.refreshes.Add(1)
		c.alarms.recovered(l.held)
		r.again(job{domain: j.domain})
		return
	}
	at := r.schedule.retry(l.held, time.Now())
	c.alarms.failed(l.held, l.failure, at, l.blocked)
	r.again(job{domain: j.domain, fetched: l.held.Fetched, at: at})
}

// again ends the work on the domain of j, and plans j if it has a time.
func (r *refresher) again(j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, j.domain)
	if j.at.IsZero() {
		return
	}
	i, _ := slices.BinarySearchFunc(r.jobs, j, later)
	r.jobs = slices.Insert(r.jobs, i, j)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
