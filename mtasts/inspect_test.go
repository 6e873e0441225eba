package mtasts_test

import (
	"fmt"
	"testing"
	"time"

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
		e.policy().CheckMX("other.example")
		e.within(0, "left.example")
		e.sleep(time.Minute)
		stop := e.run()
		s := e.client.Stats()
		if s.LookupsPolicy != 1 || s.LookupsNone != 2 || s.LookupsError != 1 || s.Discoveries != 4 || s.FetchesOK != 1 || s.FetchesFailed != 1 ||
			s.Violations != 1 || s.Events != uint64(len(e.Events())) || s.Memory != 4 || s.StoredEnforce != 1 || s.StoredOctets < 50 || s.Unsaved != 0 {
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
