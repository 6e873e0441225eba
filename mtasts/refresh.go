package mtasts

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

const (
	// walkEvery is the time between two walks through the store.
	walkEvery = 15 * time.Minute

	// maxRefreshes bounds the refreshes under way, and so the sockets of Run. A policy host
	// that does not answer occupies one for a minute, so it must not be small.
	maxRefreshes = 128

	// maxJobs bounds the planned refreshes, and so the memory of Run for a store of millions.
	// The rest is planned by later walks. At 96 walks a day that is enough for the daily
	// refresh of 19 million policies.
	maxJobs = 200_000

	// A domain that nobody has asked about for idleAfter is idle. Its policy is left to
	// expire.
	idleAfter = 30 * 24 * time.Hour

	// removedAfter is the time from the end of a policy to its removal. After it no look-up
	// is still about to renew the policy.
	removedAfter = 24 * time.Hour
)

// Run refreshes what is in use until ctx ends or the client is closed, and then returns nil.
// Without it a policy lives for max_age from the last change of its id, and an attacker only
// has to wait for the end of that.
//
// Each policy in use is fetched again over HTTPS, whatever the TXT record says, at a random
// time after 30 to 70 % of its life (RFC 8461, Sections 3.3 and 10.2). That is no later than 24
// hours and no sooner than five minutes after its last fetch. A policy that was not asked for
// in 30 days, or that lives for less than some 20 minutes, is left to expire and then removed.
// What is overdue after a restart is spread over an hour, or longer if there is a lot.
// Clients with a [SharedStore] share the work.
//
// A fetch that fails is tried again, and reported as [EventRefresh] with a Severity that rises
// towards the end of the policy's life. Run also keeps the store within [Options].Quota.
//
// Only one Run at a time does the work. A second one returns an error at once.
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
	c.work.Add(1) // Close waits, so that what is fetched here is stored
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
		schedule: newSchedule(c.sharing != nil),
		slots:    make(chan struct{}, maxRefreshes),
		planned:  make(map[string]*time.Timer),
	}
	c.refresher.Store(r)
	defer c.refresher.Store(nil)
	for ctx.Err() == nil {
		next := time.After(r.interval())
		if c.sharing.mayWalk(ctx) {
			r.walk(ctx)
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
	r.stop()
	c.quota.known.Store(false) // without walks nobody counts the store
	return nil
}

// A refresher is what a call of Run works with.
type refresher struct {
	client   *Client
	schedule schedule
	pace     pace
	steady   steadyClock
	slots    chan struct{}  // bounded by maxRefreshes
	work     sync.WaitGroup // the jobs in planned

	mu      sync.Mutex
	planned map[string]*time.Timer // by domain, until the job has ended
}

// A job is a planned refresh.
type job struct {
	domain  string
	fetched time.Time // of the policy to refresh; if it is another, the job has been done
	at      time.Time
	paced   bool // at comes from pace
}

// walk reads the whole store. It starts the jobs that are due before the next walk, removes what
// has expired, and enforces the quota.
func (r *refresher) walk(ctx context.Context) {
	c := r.client
	var (
		expired []cache.Change
		octets  int64
		byMode  = make(map[Mode]int64)
		now     = time.Now()
		steady  = r.steady.since(now) >= time.Hour
	)
	whole := c.walk(ctx, func(e *storedEntry) bool {
		p := e.head.afterClockChange(now)
		switch {
		case p.valid(now) && p.lasts():
			byMode[p.Mode]++
			octets += e.size()
			if j, ok := r.plan(p, e.used, now); ok && j.at.Before(now.Add(walkEvery)) {
				r.start(ctx, j)
			}
		case c.sharing == nil && steady && now.Sub(p.storedUntil()) > removedAfter:
			if expired = append(expired, e.removal()); len(expired) == maxBatch {
				c.remove(ctx, expired) // what fails is tried again on the next walk
				expired = nil
			}
		}
		return true
	})
	c.remove(ctx, expired)
	c.alarms.prune(now)
	if whole {
		c.stats.enforce.Store(byMode[ModeEnforce])
		c.stats.testing.Store(byMode[ModeTesting])
		c.stats.none.Store(byMode[ModeNone])
		if c.sharing == nil {
			c.quota.enforce(ctx, octets)
		} else {
			c.quota.stored.Store(octets)
		}
	}
}

// interval returns the time until the next walk. It is random if the store is shared, so that the
// clients take turns.
func (r *refresher) interval() time.Duration {
	if r.client.sharing == nil {
		return walkEvery
	}
	return walkLease + rand.N(walkEvery-walkLease)
}

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

// start starts the timer of j, unless the domain has a job already.
func (r *refresher) start(ctx context.Context, j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.planned[j.domain] != nil || len(r.planned) >= maxJobs || ctx.Err() != nil {
		return
	}
	r.work.Add(1)
	r.planned[j.domain] = time.AfterFunc(time.Until(j.at), func() {
		defer r.work.Done()
		r.do(ctx, j)
	})
}

// stop stops the timers, and waits for the jobs under way.
func (r *refresher) stop() {
	r.mu.Lock()
	for _, timer := range r.planned {
		if timer.Stop() {
			r.work.Done()
		}
	}
	r.mu.Unlock()
	r.work.Wait()
}

// do does j, whose time has come. If it comes too early for its policy host, finds all slots in
// use, or fails, it starts the job again for a later time.
func (r *refresher) do(ctx context.Context, j job) {
	again := false
	select {
	case r.slots <- struct{}{}:
		if !j.paced {
			j.paced = true
			j.at = r.pace.reserve(r.client.policyHostKey(ctx, j.domain))
			again = time.Until(j.at) > 0
		}
		if !again {
			j, again = r.refresh(ctx, j)
		}
		<-r.slots
	default:
		// While policy hosts do not answer, most of maxJobs may come here. A timer takes less
		// memory than a goroutine that waits.
		j.at, again = time.Now().Add(rand.N(time.Minute)), true
	}
	r.mu.Lock()
	delete(r.planned, j.domain)
	r.mu.Unlock()
	if again {
		r.start(ctx, j)
	}
}

// refresh refreshes the policy of j. If that fails, it raises the alarm, and returns the job that
// tries again.
func (r *refresher) refresh(ctx context.Context, j job) (retry job, failed bool) {
	c := r.client
	l := c.refresh(ctx, j)
	if l == nil || l.policy == nil || l.policy.Cause != nil {
		return j, false // there is nothing to refresh
	}
	if !l.found.fetchFailed {
		c.stats.refreshes.Add(1)
		c.alarms.recovered(l.policy)
		return j, false
	}
	at := r.schedule.retry(l.policy, time.Now())
	c.alarms.failed(l.policy, l.found.err, at)
	return job{domain: j.domain, fetched: l.policy.Fetched, at: at}, true
}
