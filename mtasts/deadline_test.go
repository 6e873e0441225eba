package mtasts_test

import (
	"context"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// within asks for a domain as a caller who waits no longer than d.
func (e *env) within(d time.Duration, name string) (*mtasts.Policy, error) {
	ctx, cancel := context.WithTimeout(e.t.Context(), d)
	defer cancel()
	return e.client.PolicyFor(ctx, name)
}

// A domain whose DNS or policy host is silent must not hold mail back for ever only
// because its callers cannot wait for a look-up.
func TestRFC8461_3_3_ACallerWithAShortDeadlineFailsOnceAtMost(t *testing.T) {
	for name, silent := range map[string]struct {
		set       func(e *env)
		temporary bool
	}{
		"policy host": {newID(mtaststest.PolicyHost{Delay: time.Hour}), false},
		"DNS":         {func(e *env) { e.DNS.Set(txt, resolver.Records{Delay: time.Hour}) }, true},
		"SERVFAIL, late": {func(e *env) {
			e.DNS.Set(txt, resolver.Records{Delay: 15 * time.Second, Fail: resolver.ServFail})
		}, true},
	} {
		for _, patience := range []time.Duration{0, time.Millisecond, 10 * time.Second} {
			t.Run(name+", "+patience.String(), func(t *testing.T) {
				play(t, func(t *testing.T, e *env) {
					silent.set(e)
					e.within(patience, domain) // may be an error: nothing is known yet
					for range 105 * 10 {
						e.sleep(6 * time.Minute)
						p, err := e.within(patience, domain)
						if err != nil {
							t.Fatalf("after a look-up has ended: %v", err)
						}
						cause, ok := p.Cause.(*mtasts.Error)
						if p.Mode != mtasts.ModeNone || !ok || cause.Temporary != silent.temporary {
							t.Fatalf("the answer is %+v, want mode none, Temporary %v", p, silent.temporary)
						}
					}
				})
			})
		}
	}
}

func TestACallerWithAShortDeadlineGetsTheCachedPolicyAlthoughACheckIsDue(t *testing.T) {
	for _, patience := range []time.Duration{0, time.Second} {
		play(t, func(t *testing.T, e *env) {
			e.cachePolicy()
			e.DNS.Set(txt, resolver.Records{Delay: time.Hour})
			e.policy().CheckMX("other.example") // a violation
			p, err := e.within(patience, domain)
			if err != nil {
				t.Fatalf("although a policy is cached: %v", err)
			}
			e.want(p, mtasts.ModeEnforce, "1")
		})
	}
}

// A caller with a short deadline never gets an older answer than another caller before it.
func TestACallerWithAShortDeadlineGetsNoExpiredPolicy(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.sleep(week + time.Second)
		e.DNS.Set(txt, resolver.Records{Delay: time.Hour})
		if p, err := e.within(time.Second, domain); err == nil {
			t.Fatalf("%+v, want an error: no look-up has ended since", p)
		}
		e.sleep(time.Minute)
		if p, err := e.within(time.Second, domain); err != nil || p.Mode != mtasts.ModeNone || p.Cause == nil {
			t.Fatalf("%+v, %v, want mode none", p, err)
		}
	})
}
