package mtasts

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

const (
	// fetchLease is longer than most fetches and the write that follows take. The client that
	// does not get the lease reads the store meanwhile, first after firstRead, and then at
	// intervals that double.
	fetchLease = 5 * time.Second
	firstRead  = 50 * time.Millisecond

	// walkLease is half the time between two walks of a client, so that the clients take turns.
	walkLease = walkEvery / 2

	// maxRereads is how many entries are read again at a time. If one cannot be read, all that
	// are left wait for rereadRetry.
	maxRereads  = 16
	rereadRetry = time.Second
)

// A sharing is what a Client does because others use the same store. It is nil if none do.
type sharing struct {
	client *Client
	store  SharedStore
	kick   chan struct{} // of capacity 1: there is something to do

	mu      sync.Mutex
	changed map[string]bool // domains in memory to read again
	all     bool            // all of memory is to be read again
	alerts  map[string]bool // domains to alert the other clients to
}

// share begins the sharing of c, if its store is shared.
func (c *Client) share() {
	store, ok := c.store.(SharedStore)
	if !ok {
		return
	}
	c.sharing = &sharing{client: c, store: store, kick: make(chan struct{}, 1),
		changed: make(map[string]bool), alerts: make(map[string]bool)}
	c.work.Go(func() { store.Watch(c.ctx, c.sharing.notice) })
	c.work.Go(c.sharing.run)
}

// notice is called by the store, and must not block.
func (s *sharing) notice(n Notice) {
	e := s.client.cached(n.Key)
	switch {
	case n.Key == "":
		s.do(func() { s.all = true })
	case e == nil: // the next look-up reads the store
	case n.Alert:
		e.mu.Lock()
		defer e.mu.Unlock()
		e.due(s.client.since())
	default:
		s.do(func() { s.changed[n.Key] = true })
	}
}

// alert alerts the other clients to a violation.
func (s *sharing) alert(domain string) {
	if s != nil {
		s.do(func() { s.alerts[domain] = true })
	}
}

// do changes what there is to do.
func (s *sharing) do(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run does what there is to do until the client is closed.
func (s *sharing) run() {
	c := s.client
	for {
		select {
		case <-s.kick:
		case <-c.ctx.Done():
			return
		}
		s.mu.Lock()
		all, changed, alerts := s.all, s.changed, s.alerts
		s.all, s.changed, s.alerts = false, make(map[string]bool), make(map[string]bool)
		s.mu.Unlock()
		for domain := range alerts {
			ctx, cancel := context.WithTimeout(c.ctx, storeLimit)
			_ = s.store.Alert(ctx, domain) // the others notice at their next check
			cancel()
		}
		if all {
			for _, domain := range c.memory.Keys() {
				if c.cached(domain).valid(time.Now()) != nil { // without a policy, the next check is soon enough
					changed[domain] = true
				}
			}
		}
		s.reread(changed)
	}
}

// reread reads entries of memory again, of which notices have said that they may have changed.
// After a failure it leaves the rest for later.
func (s *sharing) reread(domains map[string]bool) {
	var failed atomic.Bool
	var work sync.WaitGroup
	places := make(chan struct{}, maxRereads)
	for _, domain := range slices.Collect(maps.Keys(domains)) {
		if failed.Load() {
			break
		}
		places <- struct{}{}
		work.Go(func() {
			defer func() { <-places }()
			if e := s.client.cached(domain); e != nil {
				stored, used, err := s.client.loadStored(domain)
				if err != nil && !errors.Is(err, errDamaged) {
					failed.Store(true)
					return
				}
				s.compare(e, domain, stored, used)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(domains, domain)
		})
	}
	work.Wait()
	if len(domains) > 0 && s.client.ctx.Err() == nil {
		time.AfterFunc(rereadRetry, func() { s.do(func() { maps.Copy(s.changed, domains) }) })
	}
}

// compare makes memory and store the same after a read: the newer policy replaces the older one,
// and one that the store has lost is written back.
func (s *sharing) compare(e *cacheEntry, domain string, stored *Policy, used time.Time) {
	known := e.valid(time.Now())
	switch {
	case stored == nil && known == nil:
	case known != nil && (stored == nil || stored.stamp.Before(known.stamp)):
		if known.lasts() {
			dropped := s.client.endUnstored(e)
			s.client.writer.note(known, e.lastUsed(), stored != nil && !dropped)
		}
	case known != nil && stored.stamp.Equal(known.stamp):
		e.storedUse.Store(max(e.storedUse.Load(), used.Unix()))
	case stored.valid(time.Now()) && stored.lasts():
		s.client.adoptStored(e, stored, used)
		if known == nil || known.Text != stored.Text {
			e.mu.Lock()
			e.violations = 0 // they were of the older policy
			e.mu.Unlock()
		}
	case known != nil:
		e.setPolicy(nil) // its publisher, or Forget, has ended it
	}
}

// settle waits while an absent key of the store proves nothing. waited means that the store must
// be read again. The error means that name may have a policy.
func (s *sharing) settle(name string) (waited bool, err error) {
	if s == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(s.client.ctx, storeLimit)
	defer cancel()
	if waited, err = s.store.Settle(ctx); err != nil {
		return false, readError(name, err)
	}
	return waited, nil
}

// elsewhere returns the policy that another client has fetched for the id of the record. known
// is the cached policy; refresh means that any newer one will do. If elsewhere returns nil, the
// caller must fetch.
func (s *sharing) elsewhere(domain, id string, known *Policy, refresh bool) *Policy {
	if s == nil {
		return nil
	}
	c, began := s.client, time.Now()
	for wait := firstRead; ; wait *= 2 {
		got := s.lease(c.ctx, "fetch/"+domain+"/"+id, fetchLease)
		p, _, err := c.load(domain) // after Lease, so that no client fetches between the two
		if p.valid(time.Now()) && p.lasts() && (refresh || p.ID == id) && (known == nil || p.stamp.After(known.stamp)) {
			return p
		}
		if got || err != nil || time.Since(began) > fetchLease {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// mayWalk reports whether this client is the one to walk through the store.
func (s *sharing) mayWalk(ctx context.Context) bool {
	return s == nil || s.lease(ctx, "walk", walkLease)
}

// lease takes a lease. It reports true too if the store fails: a lease saves work, and no more.
func (s *sharing) lease(ctx context.Context, name string, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	ok, err := s.store.Lease(ctx, name, d)
	return ok || err != nil
}

// ending returns the change by which Forget ends a policy. A removal would look like a loss, and
// another client would write the policy back.
func (s *sharing) ending(domain string, removal cache.Change) cache.Change {
	if s == nil {
		return removal
	}
	p, used, _ := s.client.load(domain)
	if known := s.client.cached(domain).valid(time.Now()); known != nil && (p == nil || p.stamp.Before(known.stamp)) {
		p = known
	}
	if p == nil {
		return removal
	}
	ended := *p
	ended.Expires, ended.until, ended.stamp = p.Fetched, time.Time{}, p.stamp.Add(1)
	removal.Value, removal.Expires = encodeEntry(&ended, used), time.Now()
	return removal
}
