package mtasts_test

import (
	"errors"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// overrideWith makes the client apply the current *action to example.com.
func (e *env) overrideWith(action *mtasts.Action) {
	e.opts.Override = func(name string) (mtasts.Action, bool) { return *action, name == domain && *action != "" }
	e.restart()
}

func TestADomainCanBeExempted(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		var action mtasts.Action
		e.overrideWith(&action)
		e.AddMX("mx.example.com", mtaststest.MX{NoSTARTTLS: true})
		e.cachePolicy()
		if err := e.deliver(e.policy(), "mx.example.com", e.opportunistic()); !errors.Is(err, mtasts.ErrNoSTARTTLS) {
			t.Fatalf("error is %v, want a refusal", err)
		}

		action = mtasts.ActionExempt
		p := e.policy()
		if p.Mode != mtasts.ModeNone || p.Override != mtasts.ActionExempt || p.Text == "" {
			t.Fatalf("policy is %+v", p)
		}
		if err := e.deliver(p, "mx.example.com", e.opportunistic()); err != nil {
			t.Fatal(err)
		}
		if len(e.Mail("mx.example.com")) != 1 {
			t.Error("the message has not arrived")
		}

		action = "" // the policy stayed cached, and applies again
		e.want(e.policy(), mtasts.ModeEnforce, "1")
	})
}

func TestEverythingCanBeObservedWithoutBeingEnforced(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				action := mtasts.ActionObserve
				e.overrideWith(&action)
				if err := e.attempt(mtasts.ModeEnforce, fault.mx, e.opportunistic()); err != nil {
					t.Fatalf("held back: %v", err)
				}
				events := e.events(mtasts.EventSession)
				if len(events) != 1 || events[0].Result != fault.result || events[0].Policy.Override != mtasts.ActionObserve {
					t.Errorf("events are %+v, want the refusal that would have been", events)
				}
			})
		})
	}
}

func TestObservingReportsAnMXThatIsNotListed(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		action := mtasts.ActionObserve
		e.overrideWith(&action)
		e.publish("1", "mx.example.com")
		h, err := e.policy().CheckMX("other.example.net")
		if err != nil || h == nil || h.Listed {
			t.Fatal(h, err)
		}
		if err := h.AllowFallback(mtasts.ErrNoSTARTTLS); err != nil {
			t.Errorf("AllowFallback: %v", err)
		}
		if events := e.events(mtasts.EventSession); len(events) != 1 || events[0].Reason != "mx-not-listed" || events[0].Policy.Override == "" {
			t.Errorf("events are %+v", events)
		}
	})
}

func TestObservingMakesNothingStricter(t *testing.T) {
	for _, mode := range []mtasts.Mode{mtasts.ModeNone, mtasts.ModeTesting} {
		play(t, func(t *testing.T, e *env) {
			action := mtasts.ActionObserve
			e.overrideWith(&action)
			e.Publish(domain, "1", mtaststest.Policy(mode, week, "mx.example.com"))
			if p := e.policy(); p.Mode != mode {
				t.Errorf("%s became %s", mode, p.Mode)
			}
			if p := e.policyFor("without.example"); p.Mode != mtasts.ModeNone {
				t.Errorf("no policy became %s", p.Mode)
			}
		})
	}
}

func TestAnOverrideShowsInEveryEventAndLoosensNothingElse(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		action := mtasts.ActionObserve
		e.overrideWith(&action)
		e.publish("1", "mx.example.com")
		e.Publish("other.example", "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.other.example"))
		if p := e.policy(); p.Mode != mtasts.ModeTesting || p.Override != mtasts.ActionObserve {
			t.Errorf("policy is %+v", p)
		}
		if p := e.policyFor("other.example"); p.Mode != mtasts.ModeEnforce || p.Override != "" {
			t.Errorf("policy is %+v", p)
		}
		defer e.run()()
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 404})
		e.sleep(2 * day)
		events := e.events(mtasts.EventRefresh)
		if len(events) == 0 || events[0].Policy.Override != mtasts.ActionObserve {
			t.Errorf("events are %+v", events)
		}
		action = "no such action"
		if p := e.policy(); p.Mode != mtasts.ModeEnforce || p.Override != "" {
			t.Errorf("an action that is none: policy is %+v", p)
		}
	})
}
