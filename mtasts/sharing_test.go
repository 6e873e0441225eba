package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// A fleet is relays in one World with one store.
type fleet struct {
	*mtaststest.World
	t      *testing.T
	store  *mtaststest.SharedMemory
	scans  atomic.Int64 // calls of Scan
	fails  atomic.Bool  // Get fails
	relays []*mtasts.Client
}

// A fleetStore is the store of a relay.
type fleetStore struct {
	mtasts.SharedStore
	fleet *fleet
}

func (s fleetStore) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	s.fleet.scans.Add(1)
	return s.SharedStore.Scan(ctx, after, limit)
}

func (s fleetStore) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if s.fleet.fails.Load() {
		return nil, false, errors.New("the store is not ready")
	}
	return s.SharedStore.Get(ctx, key)
}

func playFleet(t *testing.T, relays int, test func(t *testing.T, f *fleet)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{World: mtaststest.NewWorld(), t: t, store: new(mtaststest.SharedMemory)}
		for range relays {
			f.add()
		}
		synctest.Wait()
		test(t, f)
		for _, relay := range f.relays {
			if err := relay.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}

func (f *fleet) add() *mtasts.Client {
	relay := mtasts.New(fleetStore{f.store, f}, f.Options())
	f.relays = append(f.relays, relay)
	return relay
}

func (f *fleet) publish(id string, mode mtasts.Mode, maxAge time.Duration, mx ...string) {
	f.Publish(domain, id, mtaststest.Policy(mode, maxAge, mx...))
}

// want asserts mode and id of a relay's answer for example.com.
func (f *fleet) want(relay int, mode mtasts.Mode, id string) *mtasts.Policy {
	f.t.Helper()
	p, err := f.relays[relay].PolicyFor(f.t.Context(), domain)
	if err != nil {
		f.t.Fatalf("relay %d: %v", relay, err)
	}
	if p.Mode != mode || p.ID != id {
		f.t.Errorf("relay %d has mode %q and id %q (cause: %v), want %q and %q", relay, p.Mode, p.ID, p.Cause, mode, id)
	}
	synctest.Wait()
	return p
}

func (f *fleet) wantRequests(n int) {
	f.t.Helper()
	if got := f.Requests(domain); got != n {
		f.t.Errorf("the policy was fetched %d times, want %d", got, n)
	}
}

func (f *fleet) sleep(d time.Duration) {
	time.Sleep(d) // in a bubble
	synctest.Wait()
}

func (f *fleet) forgeNoRecord() { f.DNS.Set(txt, resolver.Records{}) }

func TestAFleetFetchesAPolicyOnce(t *testing.T) {
	const relays = 10
	playFleet(t, relays, func(t *testing.T, f *fleet) {
		for id := range 3 {
			f.publish(fmt.Sprint(id), mtasts.ModeEnforce, week, "mx.example.com")
			f.SetPolicyHost(domain, mtaststest.PolicyHost{Delay: time.Second,
				Body: mtaststest.Policy(mtasts.ModeEnforce, week, fmt.Sprintf("mx%d.example.com", id))})
			f.sleep(6 * time.Minute) // answers from before are checked in the background
			var work sync.WaitGroup
			for i := range relays {
				work.Go(func() { f.relays[i].PolicyFor(t.Context(), domain) })
			}
			work.Wait()
			f.sleep(10 * time.Second)
			f.wantRequests(id + 1)
			for i := range relays {
				f.want(i, mtasts.ModeEnforce, fmt.Sprint(id))
			}
		}
	})
}

// A lease saves work. Nothing depends on it.
func TestALeaseThatIsLostCostsOneMoreFetch(t *testing.T) {
	playFleet(t, 2, func(t *testing.T, f *fleet) {
		f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
		if ok, err := f.store.Lease(t.Context(), "fetch/example.com/1", time.Hour); !ok || err != nil {
			t.Fatal(ok, err) // a relay that has died, or a clock that is off
		}
		began := time.Now()
		f.want(0, mtasts.ModeEnforce, "1")
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the answer took %v", took)
		}
		f.wantRequests(1)

		f.SetPolicyHost(domain, mtaststest.PolicyHost{Delay: 20 * time.Second, // longer than a lease
			Body: mtaststest.Policy(mtasts.ModeEnforce, week, "mx2.example.com")})
		f.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=2;"}})
		var work sync.WaitGroup
		for _, relay := range f.relays {
			work.Go(func() {
				if p, err := relay.Recheck(t.Context(), domain); err != nil || p.ID != "2" {
					t.Errorf("Recheck: %v, %v", p, err)
				}
			})
		}
		work.Wait()
		f.wantRequests(3)
	})
}

func TestAChangeReachesTheFleetAtOnce(t *testing.T) {
	playFleet(t, 3, func(t *testing.T, f *fleet) {
		f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
		for i := range f.relays {
			f.want(i, mtasts.ModeEnforce, "1")
		}
		f.publish("2", mtasts.ModeEnforce, week, "mx2.example.com")
		if _, err := f.relays[0].Recheck(t.Context(), domain); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.forgeNoRecord() // the others need neither DNS nor policy host
		for i := range f.relays {
			f.want(i, mtasts.ModeEnforce, "2")
		}
		f.wantRequests(2)
	})
}

// A relay that has found no policy learns of one too.
func TestAPolicyThatAppearsReachesTheFleetAtOnce(t *testing.T) {
	playFleet(t, 2, func(t *testing.T, f *fleet) {
		f.want(0, mtasts.ModeNone, "")
		f.want(1, mtasts.ModeNone, "")
		f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
		if _, err := f.relays[0].Recheck(t.Context(), domain); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.want(1, mtasts.ModeEnforce, "1")
		f.wantRequests(1)
	})
}

func TestWithoutNoticesAChangeReachesTheFleetWithinCheckInterval(t *testing.T) {
	playFleet(t, 0, func(t *testing.T, f *fleet) {
		f.store.NoNotices = true
		f.add()
		f.add()
		f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
		f.want(0, mtasts.ModeEnforce, "1")
		f.want(1, mtasts.ModeEnforce, "1")
		f.publish("2", mtasts.ModeEnforce, week, "mx2.example.com")
		if _, err := f.relays[0].Recheck(t.Context(), domain); err != nil {
			t.Fatal(err)
		}
		f.want(1, mtasts.ModeEnforce, "1")
		f.sleep(5 * time.Minute)
		f.forgeNoRecord() // the check reads the store before the DNS
		f.want(1, mtasts.ModeEnforce, "1")
		f.want(1, mtasts.ModeEnforce, "2")
		f.wantRequests(2)
	})
}

func TestRFC8461_5_AViolationMakesTheDomainDueInTheWholeFleet(t *testing.T) {
	playFleet(t, 3, func(t *testing.T, f *fleet) {
		f.publish("1", mtasts.ModeEnforce, week, "old.example.com")
		for i := range f.relays {
			f.want(i, mtasts.ModeEnforce, "1")
		}
		f.publish("2", mtasts.ModeEnforce, week, "new.example.com")
		p := f.want(0, mtasts.ModeEnforce, "1")
		if _, err := p.CheckMX("new.example.com"); !errors.Is(err, mtasts.ErrNotListed) {
			t.Fatalf("CheckMX: %v", err)
		}
		synctest.Wait()
		f.want(1, mtasts.ModeEnforce, "2") // it waited for a check
		f.want(0, mtasts.ModeEnforce, "2")
		f.want(2, mtasts.ModeEnforce, "2")
		f.wantRequests(2)
	})
}

// RFC 8461, Section 3.3: a policy holds until it expires, also if the store has lost it.
func TestAStoreThatLosesPoliciesTalksNoRelayDown(t *testing.T) {
	for name, lose := range map[string]func(f *fleet){
		"everything": func(f *fleet) { f.store.Lose() }, // the relays settle first
		"one":        func(f *fleet) { f.store.Lose(domain); synctest.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			playFleet(t, 2, func(t *testing.T, f *fleet) {
				f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
				f.want(0, mtasts.ModeEnforce, "1")
				f.forgeNoRecord()
				lose(f)
				f.want(1, mtasts.ModeEnforce, "1") // it has never asked before
			})
		})
	}
}

// A server that has just come back may refuse reads for some seconds.
func TestALossIsMadeGoodOnceTheStoreCanBeRead(t *testing.T) {
	playFleet(t, 1, func(t *testing.T, f *fleet) {
		f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
		f.want(0, mtasts.ModeEnforce, "1")
		f.forgeNoRecord()
		f.fails.Store(true)
		f.store.Lose()
		f.sleep(time.Minute)
		f.fails.Store(false)
		f.sleep(2 * time.Second)
		f.add()
		f.want(1, mtasts.ModeEnforce, "1")
		for _, e := range f.Events() {
			if e.Kind == mtasts.EventStore {
				t.Errorf("event: %v", e.Err) // nobody waited for these reads
			}
		}
	})
}

// Without notices, the relay that has the policy notices the loss at its next check.
func TestALossIsNoticedByTheNextCheck(t *testing.T) {
	playFleet(t, 0, func(t *testing.T, f *fleet) {
		f.store.NoNotices = true
		f.add()
		f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
		f.want(0, mtasts.ModeEnforce, "1")
		f.forgeNoRecord()
		f.store.Lose()
		f.sleep(5 * time.Minute)
		f.want(0, mtasts.ModeEnforce, "1")
		f.add()
		f.want(1, mtasts.ModeEnforce, "1")
	})
}

// An old copy of the store, such as that of a replica, ends no newer policy.
func TestAStoreThatComesBackOlderIsCorrected(t *testing.T) {
	playFleet(t, 1, func(t *testing.T, f *fleet) {
		f.publish("1", mtasts.ModeTesting, week, "mx.example.com")
		f.want(0, mtasts.ModeTesting, "1")
		old, _, err := f.store.Get(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		f.publish("2", mtasts.ModeEnforce, week, "mx.example.com")
		if _, err := f.relays[0].Recheck(t.Context(), domain); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.forgeNoRecord()
		f.store.Lose(domain)
		if err := f.store.Write(t.Context(), []cache.Change{{Key: domain, Value: old, Expires: time.Now().Add(week)}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.want(0, mtasts.ModeEnforce, "2")
		f.add()
		f.want(1, mtasts.ModeEnforce, "2")
	})
}

func TestForgetReachesTheWholeFleet(t *testing.T) {
	playFleet(t, 3, func(t *testing.T, f *fleet) {
		f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
		for i := range f.relays {
			f.want(i, mtasts.ModeEnforce, "1")
		}
		f.forgeNoRecord()
		if err := f.relays[0].Forget(t.Context(), domain); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 2 {
			for i := range f.relays {
				f.want(i, mtasts.ModeNone, "")
			}
			f.sleep(10 * time.Minute)
		}
		f.publish("2", mtasts.ModeEnforce, week, "mx.example.com")
		f.sleep(10 * time.Minute)
		for i := range f.relays {
			f.want(i, mtasts.ModeEnforce, "2")
		}
	})
}

// A policy with max_age 0 is the publisher's way to withdraw one.
func TestAWithdrawnPolicyIsNotWrittenBack(t *testing.T) {
	playFleet(t, 2, func(t *testing.T, f *fleet) {
		f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
		f.want(0, mtasts.ModeEnforce, "1")
		f.want(1, mtasts.ModeEnforce, "1")
		f.publish("2", mtasts.ModeNone, 0)
		if _, err := f.relays[0].Recheck(t.Context(), domain); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.forgeNoRecord()
		f.sleep(6 * time.Minute)
		f.want(1, mtasts.ModeNone, "")
		f.want(0, mtasts.ModeNone, "")
	})
}

func TestAFleetRefreshesEachPolicyOnceADay(t *testing.T) {
	const relays, domains, days = 5, 20, 10
	playFleet(t, relays, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithCancel(t.Context())
		var runs sync.WaitGroup
		for i, relay := range f.relays {
			f.sleep(time.Minute)
			runs.Go(func() {
				if err := relay.Run(ctx); err != nil {
					t.Errorf("relay %d: %v", i, err)
				}
			})
		}
		for n := range domains {
			name := fmt.Sprintf("host%d.example", n)
			f.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx."+name))
			if _, err := f.relays[n%relays].PolicyFor(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		f.sleep(days * 24 * time.Hour)
		cancel()
		runs.Wait()
		if n, most := f.scans.Load(), int64(days*24*8+relays); n > most || n < days*24*4 {
			t.Errorf("%d walks through the store, want one each 7.5 to 15 minutes", n)
		}
		total, by := 0, make([]uint64, relays)
		for n := range domains {
			name := fmt.Sprintf("host%d.example", n)
			got := f.Requests(name) - 1
			total += got
			if got < days || got > 2*days+4 { // after 30 to 70 % of 33 hours
				t.Errorf("%s was refreshed %d times in %d days", name, got, days)
			}
		}
		for i, relay := range f.relays {
			by[i] = relay.Stats().FetchesOK
			if by[i] < uint64(total/relays/4) {
				t.Errorf("relay %d has fetched %d of %d", i, by[i], total)
			}
		}
		if mean := float64(total) / domains / days; mean > 1.6 {
			t.Errorf("each policy was refreshed %.2f times a day; one relay would do it 1.45 times", mean)
		}
		t.Logf("%d refreshes of %d policies in %d days, by relay: %d", total, domains, days, by)
	})
}
