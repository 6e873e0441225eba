package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

func (e *env) setID(id string) {
	e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=" + id + ";"}})
}

func TestRFC8461_3_3_NothingIsRefreshedWithinFiveMinutesOfItsFetch(t *testing.T) {
	for _, life := range []time.Duration{0, time.Second, time.Minute, 5 * time.Minute, 6 * time.Minute, 10 * time.Minute, time.Hour, day} {
		t.Run(life.String(), func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, life, "mx.example.com"))
				requests := e.record()
				defer e.run()()
				e.sleep(14 * time.Minute) // the next walk comes a minute later
				e.policy()
				e.sleep(30 * day)
				times := requests.times["mta-sts."+domain]
				for i, at := range times {
					if i > 0 && at.Sub(times[i-1]) < 5*time.Minute {
						t.Fatalf("fetched %v after the last time", at.Sub(times[i-1]))
					}
				}
				if life <= 5*time.Minute && len(times) != 1 {
					t.Errorf("%d fetches after one message, want one: such a life is not to be prolonged", len(times))
				}
				if life >= time.Hour && len(times) < 25 {
					t.Errorf("%d fetches in a month", len(times))
				}
			})
		})
	}
}

// Name servers that are out of step give two ids in turn.
func TestRFC8461_3_3_IDsInTurnCauseOneFetchEachInFiveMinutes(t *testing.T) {
	for name, host := range map[string]mtaststest.PolicyHost{
		"the file can be had": {Body: mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com")},
		"404":                 {Status: 404},
		"silent":              {Delay: time.Hour},
		"max_age 0":           {Body: mtaststest.Policy(mtasts.ModeEnforce, 0, "mx.example.com")},
	} {
		for ids := 2; ids <= 6; ids++ {
			t.Run(fmt.Sprintf("%s, %d ids", name, ids), func(t *testing.T) {
				play(t, func(t *testing.T, e *env) {
					e.cachePolicy()
					e.opts.CheckInterval = -1 // a check each time
					e.restart()
					e.SetPolicyHost(domain, host)
					before := e.Requests(domain)
					waited := 0
					for i := range 60 {
						e.setID(fmt.Sprint("id", i%ids))
						start := time.Now()
						e.policyNow()
						if time.Since(start) > time.Second {
							waited++
						}
						e.sleep(time.Second)
					}
					want := min(ids, 4) // and no more in any case
					if name == "max_age 0" {
						want = 60 // RFC 8461, Section 3.2: used once
					}
					if n := e.Requests(domain) - before; n != want {
						t.Errorf("%d fetches, want %d", n, want)
					}
					if waited > 4 && name != "max_age 0" {
						t.Errorf("%d of 60 callers waited for the policy host", waited)
					}
					if n := len(e.events(mtasts.EventPolicy)); n > ids {
						t.Errorf("%d alarms about %d ids", n, ids)
					}
					if n := len(e.events(mtasts.EventChange)); name != "max_age 0" && n > ids {
						t.Errorf("%d changes reported of %d ids", n, ids)
					}
				})
			})
		}
	}
}

func TestIDsInTurnAreNoAlarmStormInTheLongRun(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		for i := range 24 * 12 {
			e.setID(fmt.Sprint("id", i%2))
			e.sleep(5 * time.Minute)
			e.policy()
		}
		if n := len(e.events(mtasts.EventChange)); n > 3 {
			t.Errorf("%d changes reported in a day of two ids over one file", n)
		}
	})
}

// If one of two MX hosts always fails, few messages wait for a check.
func TestAnMXThatFailsForGoodDoesNotMakeEachMessageWait(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1;"}, Delay: 20 * time.Millisecond})
		queries, waited := e.DNS.Queries(txt), 0
		for range 300 { // ten minutes of a message each two seconds
			start := time.Now()
			p := e.policyNow()
			if time.Since(start) > 0 {
				waited++
			}
			if _, err := p.CheckMX("bad.example"); !errors.Is(err, mtasts.ErrNotListed) {
				t.Fatal(err)
			}
			e.sleep(2 * time.Second)
		}
		if waited > 21 || waited < 15 {
			t.Errorf("%d of 300 messages waited for a check, want one in 30 seconds", waited)
		}
		if n := e.DNS.Queries(txt) - queries; n > 25 {
			t.Errorf("%d queries in ten minutes", n)
		}
	})
}

// However many violations there are, and whatever the DNS does, few messages wait.
func TestAStormOfViolationsMakesFewMessagesWait(t *testing.T) {
	for name, dns := range map[string]resolver.Records{
		"slow":     {TXT: []string{"v=STSv1; id=1;"}, Delay: time.Second},
		"slower":   {TXT: []string{"v=STSv1; id=1;"}, Delay: 5 * time.Second},
		"silent":   {Delay: time.Hour},
		"SERVFAIL": {Fail: resolver.ServFail},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.cachePolicy()
				e.DNS.Set(txt, dns)
				queries := e.DNS.Queries(txt)
				var waited atomic.Int64
				var messages sync.WaitGroup
				for range 3000 { // ten each second, for five minutes
					messages.Go(func() {
						start := time.Now()
						p := e.policyNow()
						if time.Since(start) > 0 {
							waited.Add(1)
						}
						p.CheckMX("bad.example")
					})
					time.Sleep(100 * time.Millisecond) // in a bubble
				}
				messages.Wait()
				if n := e.DNS.Queries(txt) - queries; n > 12 {
					t.Errorf("%d queries in five minutes, want one in 30 seconds", n)
				}
				// Messages that come during a check wait for it.
				if n := waited.Load(); n > 11*10*21 || name == "SERVFAIL" && n > 0 {
					t.Errorf("%d of 3000 messages waited", n)
				}
			})
		})
	}
}

func TestRecheckComesSoonInAStormOfViolations(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.CheckInterval = -1
		e.restart()
		e.cachePolicy()
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1;"}, Delay: 2 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for range 500 {
			callers.Go(func() {
				for ctx.Err() == nil {
					e.client.PolicyFor(ctx, domain)
				}
			})
		}
		for range 5 {
			e.sleep(time.Second)
			start := time.Now()
			if _, err := e.client.Recheck(t.Context(), domain); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("Recheck took %v", took)
			}
		}
		cancel()
		callers.Wait()
	})
}

// A violation in the pause after a check is not lost: it is due when the pause ends.
func TestAViolationInThePauseIsCheckedAfterIt(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.policyNow().CheckMX("new.example.com")
		p := e.policyNow() // waited for a check, which found no change
		e.publish("2", "new.example.com")
		if _, err := p.CheckMX("new.example.com"); err == nil {
			t.Fatal("want a violation")
		}
		e.want(e.policyNow(), mtasts.ModeEnforce, "1") // in the pause
		e.sleep(30 * time.Second)
		e.want(e.policyNow(), mtasts.ModeEnforce, "2") // after a check, not before it
	})
}

func TestAViolationIsDueThoughMemoryHasEvictedTheDomain(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.MemoryEntries = 1
		e.restart()
		e.cachePolicy()
		p := e.policyNow()
		e.policyFor("other.example") // evicts it
		if _, err := p.CheckMX("new.example.com"); err == nil {
			t.Fatal("want a violation")
		}
		e.publish("2", "new.example.com")
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=2;"}, Delay: time.Second})
		var callers sync.WaitGroup
		for range 3 { // the first loads it from the store
			callers.Go(func() { e.want(e.policyNow(), mtasts.ModeEnforce, "2") })
			time.Sleep(100 * time.Millisecond) // in a bubble
		}
		callers.Wait()
	})
}

// The back-off stays in memory if the policy is loaded from the store again.
func TestBackOffHoldsWhenThePolicyComesFromTheStore(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		store := &brokenStore{Store: e.store}
		e.stop()
		e.store = store
		e.start()
		e.cachePolicy()
		e.restart()
		store.fail(errors.New("broken"), nil)
		newID(mtaststest.PolicyHost{Status: 404})(e)
		before := e.Requests(domain)
		if p, err := e.client.PolicyFor(t.Context(), domain); err == nil {
			t.Fatalf("%+v, though the store cannot be read", p)
		}
		store.fail(nil, nil)
		for range 9 {
			e.sleep(30 * time.Second)
			e.want(e.policy(), mtasts.ModeEnforce, "1")
		}
		if n := e.Requests(domain) - before; n != 1 {
			t.Errorf("%d fetches in five minutes, want one", n)
		}
	})
}

// A cache in front of the policy host returns the old file under a new id. The new file
// comes later, and the id does not change again (RFC 8461, Section 8.1).
func TestRFC8461_8_1_ANewIDOverTheOldFileIsFetchedAgain(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for _, late := range []time.Duration{4 * time.Minute, time.Hour, 17 * time.Hour} {
			t.Run(fmt.Sprint(late, ", restart ", restart), func(t *testing.T) {
				play(t, func(t *testing.T, e *env) {
					e.cachePolicy()
					e.setID("2")
					e.sleep(5 * time.Minute)
					e.policy()
					e.want(e.policy(), mtasts.ModeEnforce, "2")
					if restart {
						e.restart()
					}
					e.sleep(late)
					e.publish("2", "new.example.com")
					refused := 0
					for range 12 { // a message each five minutes
						p := e.policy()
						if _, err := p.CheckMX("new.example.com"); err == nil {
							break
						}
						refused++
						e.sleep(5 * time.Minute)
					}
					if refused > 2 {
						t.Errorf("%d messages were refused", refused)
					}
				})
			})
		}
	}
}

func TestRFC8461_8_1_ANewIDOverTheOldFileCostsFewFetches(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.setID("2")
		for range 10 * 24 * 12 {
			e.sleep(5 * time.Minute)
			e.policy()
		}
		if n := e.Requests(domain); n < 5 || n > 40 {
			t.Errorf("%d fetches in ten days", n)
		}
	})
}

func TestRFC8461_5_RecheckFetchesWhateverTheIDSays(t *testing.T) {
	for name, record := range map[string]func(e *env){
		"the same id": func(e *env) {},
		"no record":   func(e *env) { e.DNS.Set(txt, resolver.Records{}) },
		"two records": func(e *env) { troubles["two records"](e) },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.cachePolicy()
				e.sleep(5 * time.Minute)
				e.publish("1", "new.example.com") // the publisher did not change the id
				record(e)
				p, err := e.client.Recheck(t.Context(), domain)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.CheckMX("new.example.com"); err != nil {
					t.Errorf("the message would bounce: %v", err)
				}
				for range 10 {
					e.client.Recheck(t.Context(), domain)
				}
				if n := e.Requests(domain); n != 2 {
					t.Errorf("%d fetches, want one in five minutes", n)
				}
			})
		})
	}
}

// Recheck fetches even if the publisher returns to an id within five minutes.
func TestRecheckSeesAnIDThatComesBack(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		p := e.policy()
		e.publish("2", "wrong.example.com")
		p.CheckMX("other.example.com")
		e.want(e.policy(), mtasts.ModeEnforce, "2")
		e.publish("1", "mx.example.com")
		e.sleep(time.Minute)
		p, err := e.client.Recheck(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		e.want(p, mtasts.ModeEnforce, "1")
	})
}

// The second Recheck asks again, though the first has just been answered.
func TestRecheckTwice(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1;"}, Delay: time.Second})
		var callers sync.WaitGroup
		callers.Go(func() { e.client.Recheck(t.Context(), domain) })
		time.Sleep(500 * time.Millisecond) // in a bubble
		e.publish("2", "new.example.com")
		callers.Go(func() {
			p, err := e.client.Recheck(t.Context(), domain)
			if err != nil {
				t.Error(err)
				return
			}
			e.want(p, mtasts.ModeEnforce, "2")
		})
		callers.Wait()
	})
}

func TestRecheckAcceptsNoCheckThatBeganBeforeIt(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.sleep(5 * time.Minute)
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1;"}, Delay: time.Second})
		e.policyNow() // begins a check in the background
		e.sleep(time.Millisecond)
		e.publish("2", "new.example.com")
		p, err := e.client.Recheck(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		e.want(p, mtasts.ModeEnforce, "2")
	})
}
