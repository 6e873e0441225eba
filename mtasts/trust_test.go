package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// troubles are the ways in which an attacker or a fault can make the live policy of
// example.com disappear or seem to change.
var troubles = map[string]func(e *env){
	"NXDOMAIN":          func(e *env) { e.DNS.Set(txt, resolver.Records{}) },
	"SERVFAIL":          func(e *env) { e.blockDNS(resolver.ServFail) },
	"REFUSED":           func(e *env) { e.blockDNS(resolver.Refused) },
	"DNS time-out":      func(e *env) { e.blockDNS(resolver.Timeout) },
	"DNS hangs":         func(e *env) { e.DNS.Set(txt, resolver.Records{Delay: time.Hour}) },
	"two records":       func(e *env) { e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1;", "v=STSv1; id=2;"}}) },
	"unrelated records": func(e *env) { e.DNS.Set(txt, resolver.Records{TXT: []string{"hello"}}) },
	"malformed record":  func(e *env) { e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1;"}}) },
	"new id, 404":       newID(mtaststest.PolicyHost{Status: 404}),
	"new id, redirect": newID(mtaststest.PolicyHost{Status: 301,
		Body: mtaststest.Policy(mtasts.ModeNone, week)}),
	"new id, forged certificate": newID(mtaststest.PolicyHost{Certificate: mtaststest.SelfSigned,
		Body: mtaststest.Policy(mtasts.ModeNone, week)}),
	"new id, another's certificate": newID(mtaststest.PolicyHost{Certificate: mtaststest.WrongName,
		Body: mtaststest.Policy(mtasts.ModeNone, week)}),
	"new id, blocked":        newID(mtaststest.PolicyHost{Unreachable: true}),
	"new id, hangs":          newID(mtaststest.PolicyHost{Delay: time.Hour}),
	"new id, empty file":     newID(mtaststest.PolicyHost{}),
	"new id, invalid policy": newID(mtaststest.PolicyHost{Body: "version: STSv1\nmode: none\nmode: none\n"}),
	"new id, too large": newID(mtaststest.PolicyHost{
		Body: mtaststest.Policy(mtasts.ModeNone, week) + strings.Repeat("x", 64<<10)}),
	"new id, only impossible mx": newID(mtaststest.PolicyHost{
		Body: mtaststest.Policy(mtasts.ModeTesting, week, "*", "192.0.2.1", "a.*.b")}),
	"file gone, id as before": func(e *env) { e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 404}) },
}

func newID(h mtaststest.PolicyHost) func(e *env) {
	return func(e *env) {
		e.SetPolicyHost(domain, h)
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=2;"}})
	}
}

func TestRFC8461_3_3_ACachedPolicyIsAppliedWhateverHappens(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.cachePolicy()
				fetched := time.Now()
				trouble(e)
				for time.Since(fetched) < week-24*time.Hour {
					e.sleep(7 * time.Hour)
					e.restart()
					e.want(e.policy(), mtasts.ModeEnforce, "1")
					e.sleep(10 * time.Minute)
					e.want(e.policy(), mtasts.ModeEnforce, "1")
				}
				// Section 5.1: until its time-since-fetch has exceeded max_age.
				e.sleep(time.Until(fetched.Add(week)))
				e.want(e.policy(), mtasts.ModeEnforce, "1")
			})
		})
	}
}

func TestRFC8461_5_1_NothingOutlivesMaxAgeWithoutAFetch(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.cachePolicy()
				trouble(e)
				for range 7 * 24 {
					e.sleep(time.Hour)
					e.policy() // each checks the TXT record, which extends nothing
				}
				e.sleep(1)
				if p := e.policy(); p.Mode != mtasts.ModeNone || p.Cause == nil {
					t.Errorf("after max_age the policy is %+v", p)
				}
				e.restart()
				e.want(e.policy(), mtasts.ModeNone, "")
			})
		})
	}
}

func TestRFC8461_3_1_AMissingTXTRecordDoesNotRemoveACachedPolicy(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.DNS.Set(txt, resolver.Records{})
		e.sleep(time.Hour)
		e.policy()
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		e.restart()
		e.want(e.policy(), mtasts.ModeEnforce, "1")
	})
}

func TestRFC8461_3_2_APolicyIsCachedForMaxAgeFromItsFetch(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, 400*24*time.Hour, "mx.example.com")) // capped at the maximum
		fetched := time.Now()
		p := e.policy()
		if want := fetched.Add(31557600 * time.Second); !p.Expires.Equal(want) {
			t.Errorf("expires %v, want %v", p.Expires, want)
		}
		e.sleep(time.Until(p.Expires))
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		if n := e.Requests(domain); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

func TestMaxAgeZeroIsUsedOnceAndFetchedAgain(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, 0, "mx.example.com"))
		for i := range 3 {
			e.want(e.policy(), mtasts.ModeEnforce, "1")
			if n := e.Requests(domain); n != i+1 {
				t.Fatalf("%d requests after %d calls", n, i+1)
			}
		}
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 404})
		e.want(e.policy(), mtasts.ModeNone, "")
	})
}

func TestMaxAgeZeroEndsTheCachedPolicy(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.Publish(domain, "2", mtaststest.Policy(mtasts.ModeNone, 0))
		e.sleep(10 * time.Minute)
		e.policy() // checks in the background
		e.want(e.policy(), mtasts.ModeNone, "2")
		e.DNS.Set(txt, resolver.Records{})
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 404})
		e.restart()
		e.want(e.policy(), mtasts.ModeNone, "")
	})
}

func TestRFC8461_10_2_AnUpdateIsCheckedForLongBeforeExpiry(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.publish("2", "new.example.com")
		e.sleep(5*time.Minute - 1)
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		if n := e.DNS.Queries(txt); n != 1 {
			t.Errorf("%d queries within five minutes, want 1", n)
		}
		e.sleep(1)
		e.want(e.policy(), mtasts.ModeEnforce, "1") // at once, while the check runs
		e.want(e.policy(), mtasts.ModeEnforce, "2")
	})
}

func TestTestingAndNoneAreCachedWithTheirID(t *testing.T) {
	for _, mode := range []mtasts.Mode{mtasts.ModeTesting, mtasts.ModeNone} {
		t.Run(string(mode), func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.Publish(domain, "1", mtaststest.Policy(mode, week, "mx.example.com"))
				e.want(e.policy(), mode, "1")
				e.restart()
				if p := e.policy(); p.Cause != nil || p.ID != "1" || e.Requests(domain) != 1 {
					t.Fatalf("after a restart: %+v, %d requests", p, e.Requests(domain))
				}
				e.publish("2", "mx.example.com")
				e.sleep(5 * time.Minute)
				e.policy()
				e.want(e.policy(), mtasts.ModeEnforce, "2")
			})
		})
	}
}

func TestModeNoneEndsEnforcement(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.Publish(domain, "2", mtaststest.Policy(mtasts.ModeNone, 24*time.Hour)) // RFC 8461, Section 8.3; without mx
		e.sleep(5 * time.Minute)
		e.policy()
		e.want(e.policy(), mtasts.ModeNone, "2")
		e.restart()
		e.want(e.policy(), mtasts.ModeNone, "2")
	})
}

func TestARestartWithoutNetworkKeepsAllPolicies(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.DNS.Set(txt, resolver.Records{Delay: time.Hour})
		e.restart()
		before := time.Now()
		e.want(e.policyNow(), mtasts.ModeEnforce, "1")
		if waited := time.Since(before); waited != 0 {
			t.Errorf("the cached policy took %v", waited)
		}
	})
}

// A violation of a policy that an earlier process stored makes its domain due too.
func TestAViolationOfAStoredPolicyIsReportedAndMakesItDue(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.restart()
		if _, err := e.policy().CheckMX("other.example"); !errors.Is(err, mtasts.ErrNotListed) {
			t.Errorf("error is %v, want ErrNotListed", err)
		}
		if n := len(e.events(mtasts.EventSession)); n != 1 {
			t.Errorf("%d events, want one", n)
		}
		queries := e.DNS.Queries(txt)
		e.publish("2", "other.example")
		e.want(e.policyNow(), mtasts.ModeEnforce, "2")
		if n := e.DNS.Queries(txt); n != queries+1 {
			t.Errorf("%d queries after the violation, want one", n-queries)
		}
	})
}

// policyNow asks without letting time pass.
func (e *env) policyNow() *mtasts.Policy {
	p, err := e.client.PolicyFor(e.t.Context(), domain)
	if err != nil {
		e.t.Fatal(err)
	}
	return p
}

// readsStore counts how often it is asked for an entry.
type readsStore struct {
	mtasts.Store
	n atomic.Int64
}

func (s *readsStore) Get(ctx context.Context, key string) ([]byte, bool, error) {
	s.n.Add(1)
	return s.Store.Get(ctx, key)
}

// A domain in use stays in memory, however many domains are asked for once.
func TestAFloodOfDomainsDoesNotEvictDomainsInUse(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		store := &readsStore{Store: e.store}
		e.store, e.opts.MemoryEntries = store, 100
		e.restart()
		e.cachePolicy()
		for round := range 20 {
			for i := range 80 {
				e.policyFor(fmt.Sprintf("flood%d.%d.example", round, i))
			}
			before := store.n.Load()
			e.policy()
			if store.n.Load() > before {
				t.Errorf("round %d: it was not in memory", round)
			}
		}
	})
}

func TestTheStoreKeepsWhatMemoryEvicts(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.MemoryEntries = 10
		e.restart()
		e.cachePolicy()
		for i := range 1000 { // mail to many other domains
			e.policyFor(fmt.Sprintf("d%d.example", i))
		}
		e.blockDNS(resolver.Timeout)
		e.want(e.policy(), mtasts.ModeEnforce, "1")
	})
}

func TestABlockedIDIsNotFetchedOnEveryDelivery(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		newID(mtaststest.PolicyHost{Delay: time.Hour})(e)
		e.sleep(5 * time.Minute)
		for range 100 {
			before := time.Now()
			e.want(e.policyNow(), mtasts.ModeEnforce, "1")
			if time.Since(before) != 0 {
				t.Fatal("a delivery waited for a dead policy host")
			}
		}
		e.sleep(time.Minute)
		for range 100 {
			e.want(e.policyNow(), mtasts.ModeEnforce, "1")
		}
		if n := e.Requests(domain); n != 2 {
			t.Errorf("%d requests, want the first and one for the new id", n)
		}
	})
}

func TestRFC8461_10_2_RepeatedFailuresToSeeTheLivePolicyAreReported(t *testing.T) {
	for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting, mtasts.ModeNone} {
		for name, trouble := range troubles {
			if name == "file gone, id as before" {
				continue // nobody has asked for the file yet
			}
			t.Run(string(mode)+", "+name, func(t *testing.T) {
				play(t, func(t *testing.T, e *env) {
					e.Publish(domain, "1", mtaststest.Policy(mode, week, "mx.example.com"))
					p := e.policy()
					trouble(e)
					e.sleep(5 * time.Minute)
					e.policy()
					e.sleep(2 * time.Minute)
					events := e.events(mtasts.EventPolicy)
					if mode == mtasts.ModeNone {
						// ... unless the mode is none, to allow a clean removal.
						for _, ev := range events {
							if ev.Policy != nil {
								t.Errorf("event %+v for a policy of mode none", ev)
							}
						}
						return
					}
					if len(events) == 0 || events[0].Policy != p || events[0].Result == "" || events[0].Err == nil {
						t.Errorf("events are %+v", events)
					}
				})
			})
		}
	}
}

func TestAPolicyThatExpiresDuringACheckIsFetchedAgain(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.sleep(week - time.Second)
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1;"}, Delay: 2 * time.Second})
		e.want(e.policyNow(), mtasts.ModeEnforce, "1")
		e.sleep(2 * time.Second) // the check began before the end, and ends after it
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		if n := e.Requests(domain); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		e.sleep(week - time.Second)
		if p, err := e.client.Recheck(t.Context(), domain); err != nil || p.Mode != mtasts.ModeEnforce {
			t.Errorf("Recheck: %+v, %v", p, err)
		}
	})
}
