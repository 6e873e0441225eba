package mtasts_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

func TestRFC8461_5_BeforeABounceTheDNSIsAsked(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.publish("2", "new.example.com")
		p, err := e.client.Recheck(t.Context(), domain) // checks though memory is fresh
		if err != nil {
			t.Fatal(err)
		}
		e.want(p, mtasts.ModeEnforce, "2")
		e.want(e.policyNow(), mtasts.ModeEnforce, "2")
		if p, err := e.client.Recheck(t.Context(), domain); err != nil || p.ID != "2" || e.DNS.Queries(txt) != 3 {
			t.Errorf("%v, %v after %d queries; want 3", p, err, e.DNS.Queries(txt))
		}
	})
}

func TestRecheckFailsIfTheCheckFails(t *testing.T) {
	for _, name := range []string{"SERVFAIL", "REFUSED", "DNS hangs", "new id, 404", "new id, hangs", "new id, forged certificate"} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.cachePolicy()
				troubles[name](e)
				for range 2 { // the second comes during the back-off
					if p, err := e.client.Recheck(t.Context(), domain); err == nil {
						t.Errorf("Recheck returned %+v: the message would bounce unseen", p)
					}
				}
				e.want(e.policy(), mtasts.ModeEnforce, "1")
			})
		})
	}
}

func TestRFC8461_5_1_APublishersMoveCostsAtMostOneDeferral(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.AddMX("mx.example.com", mtaststest.MX{})
		e.AddMX("new.example.net", mtaststest.MX{})
		if err := e.deliver(e.policy(), "mx.example.com", e.opportunistic()); err != nil {
			t.Fatal(err)
		}

		// The publisher moves right after the sender's last check.
		e.publish("2", "new.example.net")
		err := e.deliver(e.policy(), "new.example.net", e.opportunistic())
		if !errors.Is(err, mtasts.ErrNotListed) {
			t.Fatalf("error is %v, want ErrNotListed: a deferral", err)
		}
		if err := e.deliver(e.policy(), "new.example.net", e.opportunistic()); err != nil {
			t.Fatalf("the second attempt fails as well: %v", err)
		}
		if len(e.Mail("new.example.net")) != 1 {
			t.Error("no mail at the new MX")
		}
	})
}

func TestACheckThatFailsStaysDue(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		p := e.policyNow()
		e.publish("2", "new.example.com")
		if _, err := p.CheckMX("new.example.com"); err == nil {
			t.Fatal("want a violation")
		}
		e.blockDNS(resolver.ServFail)
		e.want(e.policyNow(), mtasts.ModeEnforce, "1")
		e.publish("2", "new.example.com")
		e.sleep(10 * time.Minute)
		e.want(e.policyNow(), mtasts.ModeEnforce, "2")
	})
}

func TestEveryCallerWaitsForACheckThatIsDue(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		p := e.policyNow()
		e.publish("2", "new.example.com")
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=2;"}, Delay: time.Second})
		if _, err := p.CheckMX("new.example.com"); err == nil {
			t.Fatal("want a violation")
		}
		var wg sync.WaitGroup
		for i := range 5 {
			time.Sleep(time.Duration(i) * 100 * time.Millisecond) // in a bubble
			wg.Go(func() { e.want(e.policyNow(), mtasts.ModeEnforce, "2") })
		}
		wg.Wait()
	})
}

func TestAViolationDuringACheckWaitsForTheNext(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.sleep(5 * time.Minute)
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1;"}, Delay: time.Second})
		p := e.policyNow() // a check is under way, with the old answer
		e.sleep(time.Millisecond)
		e.publish("2", "new.example.com")
		if _, err := p.CheckMX("new.example.com"); err == nil {
			t.Fatal("want a violation")
		}
		e.want(e.policyNow(), mtasts.ModeEnforce, "2") // while that check is still under way
	})
}

func TestAViolationDuringACheckMakesTheDomainDueAgain(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.sleep(5 * time.Minute)
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1;"}, Delay: time.Second})
		p := e.policyNow() // a check is under way, with the old answer
		e.sleep(time.Millisecond)
		e.publish("2", "new.example.com")
		if _, err := p.CheckMX("new.example.com"); err == nil {
			t.Fatal("want a violation")
		}
		e.sleep(2 * time.Second) // the check ends without having seen it
		e.want(e.policy(), mtasts.ModeEnforce, "2")
	})
}

// slowReads is a Store whose reads take a second.
type slowReads struct{ mtasts.Store }

func (s slowReads) Get(ctx context.Context, key string) ([]byte, bool, error) {
	time.Sleep(time.Second) // in a bubble
	return s.Store.Get(ctx, key)
}

func TestAViolationDuringAReadOfTheStoreMakesTheDomainDue(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.MemoryEntries = 1
		e.store = slowReads{e.store}
		e.restart()
		e.cachePolicy()
		p := e.policyNow()
		e.policyFor("other.example") // evicts it
		e.publish("2", "new.example.com")
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=2;"}, Delay: time.Second})
		go e.client.PolicyFor(t.Context(), domain) // reads the store, and then begins a check
		e.sleep(time.Millisecond)
		if _, err := p.CheckMX("new.example.com"); err == nil {
			t.Fatal("want a violation")
		}
		e.sleep(1500 * time.Millisecond) // the check is under way
		e.want(e.policyNow(), mtasts.ModeEnforce, "2")
	})
}
