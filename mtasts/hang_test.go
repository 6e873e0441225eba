package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// kilobyte is a policy file of about that size.
func kilobyte(mode mtasts.Mode) string {
	return mtaststest.Policy(mode, 365*day, "mx.example.com") + strings.Repeat("#", 850)
}

// hungStore never finishes a write.
type hungStore struct{ mtasts.Store }

func (hungStore) Write(ctx context.Context, _ []cache.Change) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAStoreThatHangsHoldsUpNeitherAnswersNorClose(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.store = hungStore{e.store}
		e.restart()
		const domains = 2000
		name := func(i int) string { return fmt.Sprintf("d%d.example", i) }
		for i := range domains {
			e.Publish(name(i), "1", mtaststest.Policy(mtasts.ModeEnforce, 365*day, "mx.example.com"))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		answers := make(chan error)
		for i := range domains {
			go func() {
				p, err := e.client.PolicyFor(ctx, name(i))
				if err == nil && p.Mode != mtasts.ModeEnforce {
					err = errors.New("another policy")
				}
				answers <- err
			}()
		}
		start := time.Now()
		for range domains {
			if err := <-answers; err != nil {
				t.Errorf("no answer: %v", err)
			}
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("answers waited %v for the disk", took)
		}
		start = time.Now()
		err := e.client.Close()
		if took := time.Since(start); err == nil || took > 30*time.Second {
			t.Errorf("Close took %v: %v; want an error within half a minute", took, err)
		}
		e.start()
		e.store = nil
	})
}

// deafStore cannot be scanned.
type deafStore struct {
	mtasts.Store
	walks int
}

func (s *deafStore) Scan(context.Context, string, int) ([]string, [][]byte, error) {
	s.walks++
	return nil, nil, errBroken
}

func TestAStoreThatCannotBeWalkedThroughStillTakesPolicies(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.Quota = 30_000
		deaf := &deafStore{Store: e.store}
		e.store = deaf
		e.restart()
		stop := e.run()
		for i := range 60 { // one domain, one entry
			e.Publish(domain, fmt.Sprint(i), kilobyte(mtasts.ModeEnforce))
			e.policy()
			e.sleep(6 * time.Minute)
		}
		e.Publish("new.example", "1", kilobyte(mtasts.ModeEnforce))
		e.policyFor("new.example")
		e.sleep(time.Minute)
		stop()
		if _, ok, err := e.store.Get(t.Context(), "new.example"); !ok || err != nil {
			t.Errorf("one entry is stored, and another not: %v", err)
		}
		if deaf.walks > 25 {
			t.Errorf("%d walks in six hours", deaf.walks)
		}
	})
}

// When Run ends, a use of each domain may be unsaved. They are written together, and Close
// waits for a store that hangs only once.
func TestManyUsesDoNotHoldUpTheEndOfRun(t *testing.T) {
	const domains = 640
	for what, disk := range map[string]struct {
		store func(mtasts.Store) mtasts.Store
		most  time.Duration
	}{
		"slow":  {func(s mtasts.Store) mtasts.Store { return slowStore{s} }, domains / 64 * 5 * time.Second},
		"hangs": {func(s mtasts.Store) mtasts.Store { return hungStore{s} }, 10 * time.Second},
	} {
		play(t, func(t *testing.T, e *env) {
			names := e.cacheMany("d", domains)
			e.store = disk.store(e.store)
			e.restart()
			e.sleep(25 * time.Hour)
			stop := e.run()
			for _, name := range names {
				e.policyFor(name)
			}
			start := time.Now()
			stop()
			if took := time.Since(start); took > disk.most {
				t.Errorf("%s: Run took %v to end", what, took)
			}
			if err := e.client.Close(); (err == nil) != (what == "slow") {
				t.Errorf("%s: Close: %v", what, err)
			}
			e.start()
		})
	}
}

// A disk that is slower than the network loses nothing: the policies are stored soon, many at
// a time, and no event is reported.
func TestASlowStoreLosesNothing(t *testing.T) {
	for what, size := range map[string]int{"small": 0} {
		play(t, func(t *testing.T, e *env) {
			e.opts.MemoryEntries = 1
			e.store = slowStore{e.store}
			e.restart()
			const domains = 2000
			name := func(i int) string { return fmt.Sprintf("d%d.example", i) }
			text := mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com") + strings.Repeat("#", size)
			var callers sync.WaitGroup
			for i := range domains {
				e.Publish(name(i), "1", text)
				callers.Go(func() { e.client.PolicyFor(t.Context(), name(i)) })
			}
			callers.Wait()
			e.sleep(domains/64*5*time.Second + time.Minute)
			if keys, _, err := e.store.Scan(t.Context(), "", 2*domains); len(keys) != domains || err != nil {
				t.Errorf("%s: %d of %d policies are stored, %v", what, len(keys), domains, err)
			}
			if events := e.events(mtasts.EventStore); len(events) > 0 {
				t.Errorf("%s: events are %+v", what, events)
			}
		})
	}
}

// stallingStore hangs for a while.
type stallingStore struct {
	mtasts.Store
	hangs atomic.Bool
}

func (s *stallingStore) Write(ctx context.Context, changes []cache.Change) error {
	if s.hangs.Load() {
		return hungStore{}.Write(ctx, changes)
	}
	return s.Store.Write(ctx, changes)
}

func TestUsesThatCouldNotBeStoredAreStoredLater(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		names := e.cacheMany("d", 200)
		store := &stallingStore{Store: e.store}
		e.store = store
		for _, name := range names {
			e.SetPolicyHost(name, mtaststest.PolicyHost{Unreachable: true}) // no refresh saves the use
		}
		e.restart()
		e.sleep(25 * time.Hour)
		defer e.run()()
		asked := time.Now()
		for _, name := range names {
			e.policyFor(name)
		}
		store.hangs.Store(true)
		e.sleep(3 * time.Hour) // a walk, which saves none
		store.hangs.Store(false)
		e.sleep(2 * time.Hour) // the next
		for _, name := range names {
			value, _, err := store.Get(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if used, err := mtasts.UsedAt(name, value); err != nil || used.Before(asked.Truncate(time.Second)) {
				t.Fatalf("%s: the store says that it was used at %v, %v; it was at %v", name, used, err, asked)
			}
		}
	})
}

// hungDeletes never finishes a removal.
type hungDeletes struct{ mtasts.Store }

func (s hungDeletes) Write(ctx context.Context, changes []cache.Change) error {
	if slices.ContainsFunc(changes, func(c cache.Change) bool { return c.Value == nil }) {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.Write(ctx, changes)
}

func TestAStoreThatCannotRemoveDoesNotStopRun(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.Quota = 100_000
		e.store = hungDeletes{e.store}
		e.restart()
		stop := e.run()
		defer stop()
		e.cachePolicy()
		e.cacheMany("idle", 90)
		e.sleep(10 * day)
		e.cacheMany("new", 90)
		for range 10 {
			e.sleep(day)
			e.policy()
		}
		if p := e.policy(); time.Since(p.Fetched) > 25*time.Hour {
			t.Errorf("fetched %v ago", time.Since(p.Fetched))
		}
		if n := e.client.Stats().StoreErrors; n == 0 {
			t.Error("no error of the store is counted")
		}
	})
}

// flood publishes a record for each domain below "flood.example", and a policy
// host that never answers.
type flood struct {
	mtasts.Resolver
	http.RoundTripper
}

func (s flood) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if strings.HasSuffix(name, ".flood.example.") {
		return []string{"v=STSv1; id=1"}, nil
	}
	return s.Resolver.LookupTXT(ctx, name)
}

func (s flood) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Host, ".flood.example") {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return s.RoundTripper.RoundTrip(req)
}

// A refresh is not put off, however many look-ups are under way, and though callers use all
// their fetches.
func TestAFloodOfDomainsDoesNotHoldUpARefresh(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		s := flood{e.opts.Resolver, e.opts.Transport}
		e.opts.Resolver, e.opts.Transport = s, s
		e.restart()
		defer e.run()()
		const life = time.Hour
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, life, "mx.example.com"))
		fetched := e.policy().Fetched
		e.sleep(life * 2 / 10)
		left, leave := context.WithCancel(t.Context())
		leave()
		busy := 0
		for i := 0; time.Since(fetched) < life*8/10; i++ {
			if _, err := e.client.PolicyFor(left, fmt.Sprintf("d%d.flood.example", i)); errors.Is(err, context.Canceled) {
				continue
			}
			busy++ // as many look-ups as there may be
			e.sleep(10 * time.Second)
		}
		if busy == 0 {
			t.Error("the flood was too small")
		}
		if p := e.policy(); !p.Fetched.After(fetched) {
			t.Errorf("fetched %v ago, with a life of %v", time.Since(p.Fetched), life)
		}
	})
}

// Neither does a caller whose look-up found a new id and waits to fetch.
func TestAFloodOfDomainsDoesNotHoldUpARefreshThatACallerBegan(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		s := flood{e.opts.Resolver, e.opts.Transport}
		e.opts.Resolver, e.opts.Transport, e.opts.CheckInterval = s, s, time.Minute
		e.restart()
		defer e.run()()
		const life = time.Hour
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, life, "mx.example.com"))
		fetched := e.policy().Fetched
		e.sleep(9 * time.Minute)
		left, leave := context.WithCancel(t.Context())
		leave()
		for i := range 15_000 {
			e.client.PolicyFor(left, fmt.Sprintf("d%d.flood.example", i))
		}
		e.sleep(time.Second)
		e.Publish(domain, "2", mtaststest.Policy(mtasts.ModeEnforce, life, "mx.example.com"))
		e.policy()
		e.sleep(life*8/10 - time.Since(fetched))
		if p := e.policy(); !p.Fetched.After(fetched) {
			t.Errorf("fetched %v ago, with a life of %v", time.Since(p.Fetched), life)
		}
	})
}

// While no policy host can be reached, refreshes that wait for others cost no goroutine each.
func TestRefreshesThatWaitHoldNoGoroutine(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		const domains = 3000
		for i := range domains {
			name := fmt.Sprintf("d%d.example", i)
			e.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, 30*time.Minute, "mx.example.com"))
			e.client.PolicyFor(t.Context(), name)
			e.SetPolicyHost(name, mtaststest.PolicyHost{Delay: time.Hour})
		}
		defer e.run()()
		most := 0
		for range 25 {
			e.sleep(time.Minute)
			most = max(most, runtime.NumGoroutine())
		}
		if most > 1500 {
			t.Errorf("%d goroutines", most)
		}
	})
}

// timingOutStore fails each write after five seconds.
type timingOutStore struct{ mtasts.Store }

func (timingOutStore) Write(ctx context.Context, _ []cache.Change) error {
	select {
	case <-time.After(5 * time.Second):
		return errors.New("timeout")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestAStoreThatTimesOutDoesNotHoldUpClose(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.store = timingOutStore{e.store}
		e.restart()
		for i := range 2000 {
			name := fmt.Sprintf("d%d.example", i)
			e.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com"))
			if _, err := e.client.PolicyFor(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
		start := time.Now()
		err := e.client.Close()
		if took := time.Since(start); err == nil || took > 30*time.Second {
			t.Errorf("Close took %v: %v; want an error within half a minute", took, err)
		}
		e.start()
	})
}
