package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

func TestAllShowsWhatIsStored(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		const domains = 1200 // more than one step
		for i := range domains {
			e.Publish(fmt.Sprintf("d%04d.example", i), "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com"))
			e.client.PolicyFor(t.Context(), fmt.Sprintf("d%04d.example", i))
		}
		asked := time.Now()
		e.SetPolicyHost("d0007.example", mtaststest.PolicyHost{Status: 503})
		defer e.run()()
		e.sleep(2 * day)
		n := 0
		for c, err := range e.client.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("d%04d.example", n); c.Policy.Domain != want || c.Policy.Mode != mtasts.ModeEnforce {
				t.Fatalf("%s, want %s", c.Policy.Domain, want)
			}
			if c.LastUse.Sub(asked).Abs() > time.Minute || !c.NextRefresh.After(time.Now().Add(-time.Hour)) {
				t.Errorf("%s: last used %v, next refresh %v", c.Policy.Domain, c.LastUse, c.NextRefresh)
			}
			if (c.Failures > 0) != (n == 7) || c.Since.IsZero() != (n != 7) {
				t.Errorf("%s: %d failures since %v", c.Policy.Domain, c.Failures, c.Since)
			}
			n++
		}
		if n != domains {
			t.Errorf("%d domains, want %d", n, domains)
		}
		for range e.client.All(t.Context()) {
			break
		}
	})
}

func TestAllShowsUsesThatAreNotStoredYet(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.sleep(5 * time.Hour)
		e.policy()
		for c, err := range e.client.All(t.Context()) {
			if err != nil || time.Since(c.LastUse) > time.Hour {
				t.Errorf("last used at %v, %v; it is %v", c.LastUse, err, time.Now())
			}
		}
	})
}

func TestForgetIsAsAtTheFirstContact(t *testing.T) {
	for _, restart := range []bool{false, true} {
		play(t, func(t *testing.T, e *env) {
			e.cachePolicy()
			if restart {
				e.restart()
			}
			e.DNS.Set(txt, resolver.Records{})
			if err := e.client.Forget(t.Context(), "[Example.COM]:25"); err != nil {
				t.Fatal(err)
			}
			e.want(e.policy(), mtasts.ModeNone, "")
			e.restart()
			e.want(e.policy(), mtasts.ModeNone, "")
			e.publish("1", "mx.example.com")
			e.sleep(6 * time.Minute)
			e.want(e.policy(), mtasts.ModeEnforce, "1")
			e.restart()
			e.blockDNS(resolver.ServFail)
			e.want(e.policy(), mtasts.ModeEnforce, "1")
			if err := e.client.Forget(t.Context(), "a..b"); err == nil {
				t.Error("no error for what is no domain")
			}
		})
	}
}

func TestStatsCount(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.CheckInterval = time.Hour
		e.restart()
		e.cachePolicy()
		e.policyFor("none.example")
		e.Publish("broken.example", "1", "no policy")
		e.policyFor("broken.example")
		e.client.Recheck(t.Context(), "broken.example")
		e.policy().CheckMX("other.example")
		e.DNS.Set("_mta-sts.left.example", resolver.Records{Delay: time.Second})
		e.within(0, "left.example")
		e.sleep(time.Minute)
		stop := e.run()
		s := e.client.Stats()
		if s.LookupsPolicy != 1 || s.LookupsNone != 2 || s.LookupsError != 1 || s.Discoveries != 5 || s.FetchesOK != 1 || s.FetchesFailed != 1 || s.Backoffs != 1 ||
			s.Violations != 1 || s.Events != uint64(len(e.Events())) || s.Memory != 4 || s.StoredEnforce != 1 || s.StoredOctets < 50 || s.Unsaved != 0 {
			t.Errorf("%+v", s)
		}
		e.sleep(day)
		if s := e.client.Stats(); s.Refreshes == 0 || s.RefreshesFailed != 0 || s.Unrefreshed != 0 {
			t.Errorf("%+v", s)
		}
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 503})
		e.sleep(day)
		if s := e.client.Stats(); s.RefreshesFailed == 0 || s.Unrefreshed != 1 {
			t.Errorf("%+v", s)
		}
		stop()
		if n := testing.AllocsPerRun(10, func() { e.client.Stats() }); n > 0 {
			t.Errorf("Stats allocates %v times", n)
		}
	})
}

// The checksum of an entry is the client's own: a Store may return damaged values.
func TestADamagedValueHidesNoOtherEntry(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		for _, name := range []string{"a.example", "b.example", "c.example"} {
			e.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, 30*day, "mx.example.com"))
			e.policyFor(name)
		}
		e.stop()
		later := time.Now().Add(time.Second)
		if err := e.store.Write(t.Context(), []cache.Change{{Key: "b.example", Value: []byte("damaged"), Fetched: later, Expires: later.Add(30 * day)}}); err != nil {
			t.Fatal(err)
		}
		e.start()
		var found []string
		for c, err := range e.client.All(t.Context()) {
			if failure, ok := err.(*mtasts.Error); ok && failure.Reason == mtasts.ReasonStoreUnreadable {
				found = append(found, "damaged "+failure.Domain)
			} else {
				found = append(found, c.Policy.Domain)
			}
		}
		if want := []string{"a.example", "damaged b.example", "c.example"}; !slices.Equal(found, want) {
			t.Errorf("All: %q, want %q", found, want)
		}
		defer e.run()()
		e.sleep(25 * time.Hour)
		if n := e.Requests("c.example"); n < 2 {
			t.Error("c.example was not refreshed")
		}
	})
}

// scanStore has a Scan that fails as it is told to.
type scanStore struct {
	mtasts.Store
	fail atomic.Pointer[func(ctx context.Context) error]
}

func (s *scanStore) Scan(ctx context.Context, after string, limit int) ([]string, [][]byte, error) {
	if fail := s.fail.Load(); fail != nil {
		if err := (*fail)(ctx); err != nil {
			return nil, nil, err
		}
	}
	return s.Store.Scan(ctx, after, limit)
}

func TestAScanThatFailsIsReportedAndCountsNothing(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		store := &scanStore{Store: e.store}
		e.store = store
		e.restart()
		e.cachePolicy()
		stop := e.run()
		broken := func(context.Context) error { return errBroken }
		store.fail.Store(&broken)
		errs := 0
		for _, err := range e.client.All(t.Context()) {
			if errors.Is(err, errBroken) {
				errs++
			}
		}
		if errs != 1 {
			t.Errorf("All has %d errors, want 1", errs)
		}
		e.sleep(time.Hour)
		if s := e.client.Stats(); s.StoredEnforce != 1 || s.StoredOctets == 0 || s.StoreErrors == 0 {
			t.Errorf("%+v, want the figures of the last complete walk", s)
		}
		if ev := e.events(mtasts.EventStore); len(ev) != 1 || !errors.Is(ev[0].Err, errBroken) {
			t.Errorf("events of the store are %+v, want one error", ev)
		}
		store.fail.Store(nil)
		e.sleep(time.Hour)
		if ev := e.events(mtasts.EventStore); len(ev) != 2 || ev[1].Err != nil {
			t.Errorf("events of the store are %+v, want the recovery", ev)
		}
		stop()
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		store.fail.Store(&hangs)
		stop = e.run()
		e.sleep(time.Second)
		stop()
		if ev := e.events(mtasts.EventStore); len(ev) != 2 {
			t.Errorf("events of the store are %+v: the end of Run was reported as an error", ev)
		}
	})
}

func TestAllShowsPoliciesThatAreNotWrittenYet(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		store := &brokenStore{Store: e.store}
		e.store = store
		e.restart()
		e.cachePolicy()
		store.fail(nil, errBroken)
		e.publish("2", "mx.example.com", "mx2.example.com")
		e.sleep(6 * time.Minute)
		e.policy()
		for c, err := range e.client.All(t.Context()) {
			if err != nil || c.Policy.ID != "2" {
				t.Errorf("%+v, %v, want id 2", c, err)
			}
		}
		if n := e.client.Stats().Unsaved; n != 1 {
			t.Errorf("%d policies are unsaved, want 1", n)
		}
		store.fail(nil, nil)
	})
}
