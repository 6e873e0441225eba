package mtasts_test

import (
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

const year = 365 * day

// storeAs restarts the client on a store in which what it has learnt looks as if it had
// been fetched at another time, because the clock was wrong then.
func (e *env) storeAs(fetched time.Time) {
	e.t.Helper()
	e.stop()
	value, ok, err := e.store.Get(e.t.Context(), domain)
	if !ok || err != nil {
		e.t.Fatal(ok, err)
	}
	value, expires := mtasts.Reseal(domain, value, fetched)
	if err := e.store.Put(e.t.Context(), domain, value, fetched, expires); err != nil {
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
		e.learn()
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

// The entry of a clock that was ahead keeps no later policy out of the store, also where
// that follows on one that has ended.
func TestAClockThatWasAheadKeepsNoLaterPolicyOutOfTheStore(t *testing.T) {
	for name, second := range map[string]string{
		"one that expires":   mtaststest.Policy(mtasts.ModeEnforce, time.Hour, "mx.example.com"),
		"one of max_age 0":   mtaststest.Policy(mtasts.ModeEnforce, 0, "mx.example.com"),
		"one of mode none":   mtaststest.Policy(mtasts.ModeNone, time.Hour),
		"none in particular": "",
	} {
		for _, ahead := range []time.Duration{time.Hour, 30 * day, year} {
			t.Run(name+", "+ahead.String(), func(t *testing.T) {
				play(t, func(t *testing.T, e *env) {
					e.learn()
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
			e.learn()
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
			e.learn()
			e.storeAs(time.Now().Add(year))
			e.want(e.policy(), mtasts.ModeEnforce, "1") // and the check is made behind it
			if p := e.policy(); p.Fetched.After(time.Now()) {
				t.Errorf("fetched %v, now %v", p.Fetched, time.Now())
			}
			if n := e.Requests(domain); n != 2 {
				t.Errorf("%d requests, want a second one", n)
			}
		})
	})
}

// A policy that is fetched while the clock is behind seems to have expired when it is
// right again. The domain had been promised more.
func TestAClockThatIsBehindLosesNothingThatWasValid(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for name, again := range map[string]bool{"once": false, "and refreshed": true} {
			t.Run(name, func(t *testing.T) {
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

// Nor does an entry of a clock that was ahead prolong the life of what came after it.
func TestAClockThatWasAheadProlongsNothing(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.learn()
		e.storeAs(time.Now().Add(year))
		e.publish("2", "mx.example.com")
		e.policy()
		e.want(e.policy(), mtasts.ModeEnforce, "2")
		e.dead()
		e.sleep(week + time.Minute)
		if p := e.policy(); p.Mode != mtasts.ModeNone {
			t.Errorf("it is answered past its end: %+v", p)
		}
		e.restart()
		e.want(e.policy(), mtasts.ModeNone, "")
	})
}

// The interval between checks is counted by a clock that stops while a machine sleeps.
func TestNothingIsAnsweredPastItsEndHoweverLongTheInterval(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.CheckInterval = 10 * week
		e.restart()
		e.learn()
		e.dead()
		e.sleep(week)
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		e.sleep(1)
		e.want(e.policy(), mtasts.ModeNone, "")
	})
}
