package mtasts_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// A policy that is used once a day is refreshed, even if memory has evicted it each time.
func TestUseIsNotedAfterAnEviction(t *testing.T) {
	for _, how := range []string{"by restart", "by other domains"} {
		t.Run(how, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.opts.MemoryEntries = 1
				e.restart()
				e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, 60*day, "mx.example.com"))
				e.policy()
				stop := e.run()
				for d := range 100 {
					e.sleep(day)
					if how == "by restart" {
						stop()
						e.restart()
						stop = e.run()
						e.sleep(time.Minute)
					} else {
						e.policyFor("other.example") // memory holds one
					}
					p := e.policy()
					e.want(p, mtasts.ModeEnforce, "1")
					if age := time.Since(p.Fetched); age > 26*time.Hour {
						t.Fatalf("on day %d the policy was fetched %v ago", d, age)
					}
				}
				stop()
			})
		})
	}
}

// cacheMany publishes enforced policies of a kilobyte for n domains, and has the client cache
// them.
func (e *env) cacheMany(kind string, n int) (names []string) {
	e.t.Helper()
	for i := range n {
		name := fmt.Sprintf("%s%d.example", kind, i)
		e.Publish(name, "1", kilobyte(mtasts.ModeEnforce))
		e.policyFor(name)
		names = append(names, name)
	}
	return names
}

// closedStore counts writes after Close.
type closedStore struct {
	mtasts.Store
	closed    bool
	puts, bad int
}

func (s *closedStore) Write(ctx context.Context, changes []cache.Change) error {
	s.puts++
	if s.closed {
		s.bad++
	}
	return s.Store.Write(ctx, changes)
}

func (s *closedStore) Close() error {
	s.closed = true
	return nil
}

// A use is stored soon, and Close stores unsaved uses before it closes the store.
func TestAUseIsStored(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		store := &closedStore{Store: e.store}
		e.store = store
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, 365*day, "mx.example.com"))
		e.restart()
		store.closed = false
		e.policy()
		e.sleep(25 * time.Hour)
		e.client.PolicyFor(t.Context(), domain)
		e.stop()
		if store.bad > 0 {
			t.Errorf("%d writes after the store was closed", store.bad)
		}
		value, _, err := e.store.Get(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		if used, err := mtasts.UsedAt(domain, value); err != nil || time.Since(used) > time.Hour {
			t.Errorf("the store says that it was used at %v, %v; it is %v", used, err, time.Now())
		}
		if err := e.client.Run(context.Background()); err != nil {
			t.Errorf("Run of a closed client: %v", err)
		}
		e.start()
	})
}

// A policy that the quota has evicted is not refreshed, and is stored again when it is used.
func TestAnEvictedPolicyIsNotRefreshed(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.Quota = 300_000
		e.opts.MemoryEntries = 30
		e.restart()
		stop := e.run()
		defer stop()
		e.cacheMany("idle", 250)
		e.sleep(10 * day)
		e.cacheMany("new", 100)
		e.sleep(20 * time.Minute)
		taken := make(map[string]int)
		for _, ev := range e.events(mtasts.EventEvicted) {
			taken[ev.Domain] = e.Requests(ev.Domain)
		}
		if len(taken) == 0 {
			t.Fatal("nothing was evicted")
		}
		e.sleep(3 * day)
		for name, before := range taken {
			if n := e.Requests(name); n != before {
				t.Errorf("%s was fetched again, though nobody has asked", name)
			}
		}
	})
}

func TestAnEvictedPolicyIsStoredAgainWhenItIsUsed(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.Quota = 30_000
		e.restart()
		stop := e.run()
		e.cacheMany("idle", 25)
		e.sleep(10 * day)
		e.cacheMany("new", 10)
		e.sleep(20 * time.Minute)
		taken := e.events(mtasts.EventEvicted)
		if len(taken) == 0 {
			t.Fatal("nothing was evicted")
		}
		name := taken[0].Domain
		// A use is noted when a check ends. There is no check within five minutes of a
		// refresh, which may have been planned before the eviction.
		e.policyFor(name)
		e.sleep(6 * time.Minute)
		e.policyFor(name)
		e.sleep(time.Minute)
		stop()
		if _, ok, err := e.store.Get(t.Context(), name); !ok || err != nil {
			t.Errorf("%s, in use again, is not stored: %v", name, err)
		}
	})
}

// A use is stored once a day. The last use counts even if it is not stored yet.
func TestTheQuotaEvictsNothingThatWasInUseWithinADay(t *testing.T) {
	for offset := range 10 {
		play(t, func(t *testing.T, e *env) {
			e.opts.Quota = 30_000
			e.restart()
			stop := e.run()
			defer stop()
			last := make(map[string]time.Time)
			ask := func(kind string, n int) {
				for _, name := range e.cacheMany(kind, n) {
					last[name] = time.Now()
				}
			}
			ask("used", 24)
			for range 9 + offset {
				e.sleep(7 * time.Hour)
				ask("used", 24)
			}
			e.sleep(6 * time.Hour)
			ask("new", 20)
			e.sleep(20 * time.Minute)
			for _, ev := range e.events(mtasts.EventEvicted) {
				if age := ev.Time.Sub(last[ev.Domain]); age < day {
					t.Errorf("%s was evicted %v after it was in use", ev.Domain, age)
				}
			}
		})
	}
}
