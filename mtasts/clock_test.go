package mtasts_test

import (
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

const year = 365 * day

// storeAs restarts the client on a store that says that its policy was fetched at another
// time, because the clock was wrong then.
func (e *env) storeAs(fetched time.Time) {
	e.t.Helper()
	e.stop()
	value, ok, err := e.store.Get(e.t.Context(), domain)
	if !ok || err != nil {
		e.t.Fatal(ok, err)
	}
	value, expires := mtasts.Reseal(domain, value, fetched)
	if err := e.store.Write(e.t.Context(), []cache.Change{
		{Key: domain, Fetched: time.Now()}, // or it would keep out an older one
		{Key: domain, Value: value, Fetched: fetched, Expires: expires},
	}); err != nil {
		e.t.Fatal(err)
	}
	e.start()
}

func (e *env) dead() {
	e.blockDNS(resolver.ServFail)
	e.SetPolicyHost(domain, mtaststest.PolicyHost{Unreachable: true})
}

func TestAClockThatWasAheadExpiresNothingAndTheNewerPolicyWins(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.storeAs(time.Now().Add(year))
		e.blockDNS(resolver.ServFail)
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		e.publish("2", "mx.example.com")
		e.sleep(time.Minute)
		e.policy()
		e.want(e.policy(), mtasts.ModeEnforce, "2")
		e.publish("3", "mx.example.com")
		e.sleep(5 * time.Minute)
		e.policy()
		e.dead()
		e.restart()
		e.want(e.policy(), mtasts.ModeEnforce, "3")
	})
}

// An entry that was fetched while the clock was ahead blocks no later policy in the store,
// even one that follows an expired policy.
func TestAClockThatWasAheadBlocksNoLaterPolicy(t *testing.T) {
	for name, second := range map[string]string{
		"one that expires":   mtaststest.Policy(mtasts.ModeEnforce, time.Hour, "mx.example.com"),
		"one of max_age 0":   mtaststest.Policy(mtasts.ModeEnforce, 0, "mx.example.com"),
		"one of mode none":   mtaststest.Policy(mtasts.ModeNone, time.Hour),
		"none in particular": "",
	} {
		for _, ahead := range []time.Duration{time.Hour, 30 * day, year} {
			t.Run(name+", "+ahead.String(), func(t *testing.T) {
				play(t, func(t *testing.T, e *env) {
					e.cachePolicy()
					e.storeAs(time.Now().Add(ahead))
					if second != "" {
						e.Publish(domain, "2", second)
						e.policy()
						e.sleep(2 * time.Hour) // it is over
					}
					e.publish("3", "mx.example.com")
					e.policy()
					e.sleep(10 * time.Minute)
					e.want(e.policy(), mtasts.ModeEnforce, "3")
					e.dead()
					e.restart()
					e.want(e.policy(), mtasts.ModeEnforce, "3")
				})
			})
		}
	}
}

func TestAPolicyOfAClockThatWasAheadIsFetchedAgain(t *testing.T) {
	t.Run("by Run", func(t *testing.T) {
		play(t, func(t *testing.T, e *env) {
			e.cachePolicy()
			e.storeAs(time.Now().Add(year))
			defer e.run()()
			e.sleep(2 * time.Hour)
			if n := e.Requests(domain); n != 2 {
				t.Fatalf("%d requests, want a second one", n)
			}
			if p := e.policy(); p.Fetched.After(time.Now()) || p.Expires.After(time.Now().Add(week)) {
				t.Errorf("fetched %v, expires %v, now %v", p.Fetched, p.Expires, time.Now())
			}
		})
	})
	t.Run("when somebody asks", func(t *testing.T) {
		play(t, func(t *testing.T, e *env) {
			e.cachePolicy()
			e.storeAs(time.Now().Add(year))
			e.want(e.policy(), mtasts.ModeEnforce, "1") // the check runs in the background
			if p := e.policy(); p.Fetched.After(time.Now()) {
				t.Errorf("fetched %v, now %v", p.Fetched, time.Now())
			}
			if n := e.Requests(domain); n != 2 {
				t.Errorf("%d requests, want a second one", n)
			}
		})
	})
}

// A policy that is fetched while the clock is behind seems to have expired once the clock is
// right. The policy before it promised more.
func TestAClockThatIsBehindLosesNothingThatWasValid(t *testing.T) {
	for _, how := range []string{"", "restart", "restart and Run"} {
		restart := how != ""
		for name, again := range map[string]bool{"once": false, "and refreshed": true} {
			t.Run(name+", "+how, func(t *testing.T) {
				play(t, func(t *testing.T, e *env) {
					// It is day 10 in truth, and the clock says day 0.
					right := time.Now().Add(10 * day)
					e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, 2*week, "mx.example.com"))
					e.policy()
					e.storeAs(right.Add(-week)) // with a week to go
					e.publish("2", "mx.example.com")
					e.policy()
					e.sleep(10 * time.Minute)
					e.want(e.policy(), mtasts.ModeEnforce, "2")
					if again {
						e.publish("3", "mx.example.com")
						e.sleep(10 * time.Minute)
						e.policy()
					}
					e.dead()
					if restart {
						e.stop()
					}
					e.sleep(time.Until(right)) // the clock is set
					if restart {
						e.start()
					}
					if how == "restart and Run" {
						defer e.run()()
						e.sleep(time.Second)
					}
					p := e.policy()
					if p.Mode != mtasts.ModeEnforce || p.ID == "1" {
						t.Fatalf("the domain is open: %+v", p)
					}
					e.sleep(time.Until(right.Add(week)))
					if p := e.policy(); p.Mode != mtasts.ModeEnforce {
						t.Errorf("it ended before the one that was promised: %+v", p)
					}
					e.sleep(time.Minute)
					if p := e.policy(); p.Mode != mtasts.ModeNone {
						t.Errorf("it is answered past its end: %+v", p)
					}
				})
			})
		}
	}
}

// An entry that was fetched while the clock was ahead prolongs no later policy.
func TestAClockThatWasAheadProlongsNothing(t *testing.T) {
	for _, ahead := range []time.Duration{6 * day, 8 * day, year} {
		testClockAheadProlongsNothing(t, ahead, false)
	}
	for _, ahead := range []time.Duration{8 * day, 30 * day, year} {
		testClockAheadProlongsNothing(t, ahead, true)
	}
}

func testClockAheadProlongsNothing(t *testing.T, ahead time.Duration, seldom bool) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.storeAs(time.Now().Add(ahead))
		e.publish("2", "mx.example.com")
		e.policy()
		fetched := time.Now()
		e.want(e.policy(), mtasts.ModeEnforce, "2")
		e.dead()
		if seldom {
			e.sleep(week + time.Minute)
			e.want(e.policy(), mtasts.ModeNone, "")
		}
		for range 20 { // a message each twelve hours
			e.sleep(12 * time.Hour)
			p := e.policy()
			if over := !time.Now().Before(fetched.Add(week + time.Second)); over != (p.Mode == mtasts.ModeNone) {
				t.Errorf("ahead by %v: after %v the answer is %+v", ahead, time.Since(fetched), p)
			}
		}
		e.restart()
		e.want(e.policy(), mtasts.ModeNone, "")
	})
}

// While the clock may be wrong, as after a start without network, Run removes nothing.
func TestRunByAClockThatIsAheadRemovesNothing(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.storeAs(time.Now().Add(-year)) // as if the clock were ahead by a year
		stop := e.run()
		e.sleep(10 * time.Minute)
		stop()
		if !e.stored(domain) {
			t.Error("it was removed, and is lost when the clock is right again")
		}
		defer e.run()()
		e.sleep(3 * time.Hour)
		if e.stored(domain) {
			t.Error("it is never removed")
		}
	})
}

// A policy of max_age 0 ends the one before, even if that could not be read or has expired.
func TestMaxAgeZeroEndsAPolicyThatIsNotKnownToBeValid(t *testing.T) {
	for _, mode := range []mtasts.Mode{mtasts.ModeNone, mtasts.ModeTesting} {
		play(t, func(t *testing.T, e *env) { // the store could not be read for a moment
			e.cachePolicy()
			store := &brokenStore{Store: e.store}
			e.stop()
			e.store = store
			e.start()
			store.fail(errBroken, nil)
			e.Publish(domain, "2", mtaststest.Policy(mode, 0, "mx.example.com"))
			e.want(e.policy(), mode, "2")
			store.fail(nil, nil)
			e.dead()
			e.want(e.policy(), mtasts.ModeNone, "")
		})
		play(t, func(t *testing.T, e *env) { // it seems to have expired, by a clock that is ahead
			e.cachePolicy()
			e.storeAs(time.Now().Add(-week - time.Hour))
			e.Publish(domain, "2", mtaststest.Policy(mode, 0, "mx.example.com"))
			e.want(e.policy(), mode, "2")
			value, ok, err := e.store.Get(t.Context(), domain)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if id, err := mtasts.IDOf(domain, value); err != nil || id != "2" {
				t.Errorf("the store has id %s, %v: it comes back when the clock is right", id, err)
			}
		})
	}
}

// The interval between checks is counted by a clock that stops while a machine sleeps.
func TestNothingIsAnsweredPastItsEndHoweverLongTheInterval(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.CheckInterval = 10 * week
		e.restart()
		e.cachePolicy()
		e.dead()
		e.sleep(week)
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		e.sleep(1)
		e.want(e.policy(), mtasts.ModeNone, "")
	})
}
