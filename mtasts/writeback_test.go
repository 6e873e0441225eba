package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// pickyStore refuses each batch that holds one of these keys.
type pickyStore struct {
	mtasts.Store
	refuses map[string]bool
	once    error // what the next Write fails with

	mu     sync.Mutex
	writes int
}

func (s *pickyStore) Write(ctx context.Context, changes []cache.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if err := s.once; err != nil {
		s.once = nil
		return err
	}
	if slices.ContainsFunc(changes, func(c cache.Change) bool { return s.refuses[c.Key] }) {
		return errBroken
	}
	return s.Store.Write(ctx, changes)
}

// will changes what the store does from now on.
func (s *pickyStore) will(refuse map[string]bool, failOnce error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses, s.once = refuse, failOnce
}

func (s *pickyStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

func (e *env) stored(key string) bool {
	e.t.Helper()
	_, ok, err := e.store.Get(context.Background(), key)
	if err != nil {
		e.t.Fatal(err)
	}
	return ok
}

func TestOneEntryThatCannotBeStoredHoldsUpNoOther(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		picky := &pickyStore{Store: e.store, refuses: map[string]bool{"d77.example": true}, once: errBroken}
		e.store = picky
		e.restart()
		const domains = 2000
		var callers sync.WaitGroup
		for i := range domains {
			name := fmt.Sprintf("d%d.example", i)
			e.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, 365*day, "mx.example.com"))
			callers.Go(func() { e.client.PolicyFor(t.Context(), name) })
		}
		callers.Wait()
		e.sleep(5 * time.Second)
		for i := range domains {
			if name := fmt.Sprintf("d%d.example", i); e.stored(name) == picky.refuses[name] {
				t.Errorf("%s is stored: %v", name, !picky.refuses[name])
			}
		}
		before := picky.count()
		e.sleep(time.Hour)
		if ev := e.events(mtasts.EventStore); len(ev) != 1 || ev[0].Reason != mtasts.ReasonStoreUnwritable {
			t.Errorf("%d events of the store, want one: %+v", len(ev), ev)
		}
		if n := picky.count() - before; n == 0 || n > 300 {
			t.Errorf("%d writes in an hour", n)
		}
		picky.will(nil, nil)
		e.sleep(2 * time.Minute)
		if !e.stored("d77.example") {
			t.Error("it is not stored when it can be")
		}
		if ev := e.events(mtasts.EventStore); len(ev) != 2 || ev[1].Reason != mtasts.ReasonStoreWritable {
			t.Errorf("events are %+v, want the recovery at last", ev)
		}
	})
}

func TestOneFailingWriteInCloseLosesNothing(t *testing.T) {
	for _, refused := range []int{0, 1} {
		play(t, func(t *testing.T, e *env) {
			broken := &brokenStore{Store: e.store, putErr: errBroken}
			picky := &pickyStore{Store: broken, refuses: map[string]bool{}}
			if refused == 1 {
				picky.refuses["d5.example"] = true
			}
			e.store = picky
			e.restart()
			const domains = 1500
			for i := range domains {
				name := fmt.Sprintf("d%d.example", i)
				e.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, 365*day, "mx.example.com"))
				e.client.PolicyFor(t.Context(), name)
			}
			e.sleep(time.Second)
			broken.fail(nil, nil)
			if refused == 0 {
				picky.will(nil, errBroken)
			}
			err := e.client.Close()
			if refused == 0 && err != nil || refused == 1 && (!errors.Is(err, errBroken) || !strings.Contains(err.Error(), "could not be stored: 1:")) {
				t.Errorf("Close: %v", err)
			}
			keys, _, err := e.store.Scan(context.Background(), "", 2*domains)
			if err != nil || len(keys) != domains-refused {
				t.Errorf("%d of %d policies are stored, %v", len(keys), domains, err)
			}
			e.start()
		})
	}
}

// If the store cannot be written, the policies that protect least are dropped first, and Close
// says how many.
func TestWhatIsDroppedProtectsLeastAndCloseSaysSo(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		broken := &brokenStore{Store: e.store, putErr: errBroken}
		e.store = broken
		e.opts.MemoryEntries = 100_000
		e.restart()
		const each = 400
		for i := range each {
			for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting, mtasts.ModeNone} {
				name := fmt.Sprintf("%s%d.example", mode, i)
				e.Publish(name, "1", mtaststest.Policy(mode, week, "mx.example.com")+strings.Repeat("#", 63<<10))
				e.client.PolicyFor(t.Context(), name)
			}
		}
		dropped := e.events(mtasts.EventEvicted)
		if len(dropped) == 0 || slices.ContainsFunc(dropped, func(ev mtasts.Event) bool { return ev.Policy.Mode != mtasts.ModeNone }) {
			t.Errorf("%d policies were dropped, and not only those of mode none", len(dropped))
		}
		broken.fail(nil, nil)
		e.sleep(2 * time.Minute)
		if err := e.client.Close(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("could not be stored: %d:", len(dropped))) {
			t.Errorf("Close: %v, want that %d policies are lost", err, len(dropped))
		}
		for i := range each {
			if !e.stored(fmt.Sprintf("enforce%d.example", i)) {
				t.Fatalf("enforce%d.example is not stored", i)
			}
		}
		e.start()
	})
}

// A use that is noted late does not restore an older policy or use.
func TestAnOlderUseIsNotWrittenOverANewer(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, 365*day, "mx.example.com"))
		e.policy()
		defer e.run()()
		for range 10 { // refreshed each day, and asked about between
			e.sleep(7 * time.Hour)
			e.policy()
			asked := time.Now()
			e.sleep(26 * time.Hour)
			value, _, err := e.store.Get(t.Context(), domain)
			if err != nil {
				t.Fatal(err)
			}
			if used, err := mtasts.UsedAt(domain, value); err != nil || used.Before(asked.Add(-day)) {
				t.Fatalf("the store says that it was used at %v, %v; it was at %v", used, err, asked)
			}
		}
	})
}

// Answers without a check for days are uses too.
func TestAUseCountsHoweverLongTheCheckInterval(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.CheckInterval, e.opts.Quota = 60*day, 30_000
		e.restart()
		defer e.run()()
		used := e.cacheMany("used", 20)
		for range 20 {
			e.sleep(12 * time.Hour)
			for _, name := range used {
				e.policyFor(name)
			}
		}
		e.cacheMany("new", 20)
		e.sleep(20 * time.Minute)
		for _, ev := range e.events(mtasts.EventEvicted) {
			if strings.HasPrefix(ev.Domain, "used") {
				t.Errorf("%s was evicted, and it is in use", ev.Domain)
			}
		}
	})
}

// A refresh does not store a policy that a full store has refused.
func TestARefusedPolicyDoesNotPassTheQuotaByItsRefresh(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.Quota = 30_000
		e.restart()
		defer e.run()()
		e.sleep(time.Minute)
		names := e.cacheMany("d", 100)
		e.sleep(10 * day)
		size := 0
		keys, values, err := e.store.Scan(t.Context(), "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			size += len(keys[i]) + len(values[i])
		}
		if size > 30_000 {
			t.Errorf("the store holds %d octets of %d domains, with a quota of 30,000", size, len(names))
		}
	})
}

// No caller waits for the disk, and no answer is older than the one before it.
func TestAnAnswerIsNeverFollowedByAnOlderOne(t *testing.T) {
	for name, slow := range map[string]func(mtasts.Store) mtasts.Store{
		"slow":  func(s mtasts.Store) mtasts.Store { return slowStore{s} },
		"hangs": func(s mtasts.Store) mtasts.Store { return hungStore{s} },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.cachePolicy()
				e.opts.MemoryEntries = 1
				e.stop()
				store := e.store
				e.store = slow(store)
				e.start()
				e.Publish(domain, "2", mtaststest.Policy(mtasts.ModeTesting, week, "mx.example.com"))
				newest := "1"
				for i := range 100 {
					start := time.Now()
					p, err := e.client.PolicyFor(t.Context(), domain)
					if err != nil {
						t.Fatal(err)
					}
					if took := time.Since(start); took > 0 {
						t.Errorf("an answer took %v", took)
					}
					if p.ID < newest {
						t.Fatalf("answer %d is the policy of id %s, after that of id %s", i, p.ID, newest)
					}
					newest = p.ID
					e.client.PolicyFor(t.Context(), fmt.Sprintf("other%d.example", i)) // evicts it
					if i%10 == 0 {
						e.sleep(time.Second)
					}
				}
				if newest != "2" {
					t.Error("the newer policy was never answered")
				}
				e.client.Close()
				e.store = store
				e.start()
			})
		})
	}
}
