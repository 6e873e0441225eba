package mtasts_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

func TestPolicyForDiscoversFetchesAndCaches(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		text := mtaststest.Policy(mtasts.ModeEnforce, week, "MX.Example.com.", "*.example.net")
		e.Publish(domain, "20160831085700Z", text)
		p := e.policy()
		e.want(p, mtasts.ModeEnforce, "20160831085700Z")
		if p.Domain != domain || p.Text != text || p.Cause != nil || strings.Join(p.MX, " ") != "mx.example.com *.example.net" {
			t.Errorf("policy is %+v", p)
		}
		if now := time.Now().UTC(); !p.Fetched.Equal(now) || !p.Expires.Equal(now.Add(week)) {
			t.Errorf("fetched %v, expires %v; now is %v", p.Fetched, p.Expires, now)
		}
		for range 100 {
			if again := e.policyFor("Example.COM."); again != p {
				t.Fatal("a second answer is not the same snapshot")
			}
		}
		if q, r := e.DNS.Queries(txt), e.Requests(domain); q != 1 || r != 1 {
			t.Errorf("%d queries and %d requests for 101 answers, want 1 and 1", q, r)
		}
	})
}

func TestRFC8461_3_1_WithoutOneUsableTXTRecordThereIsNoPolicy(t *testing.T) {
	for name, txts := range map[string][]string{
		"none of ours": {"v=spf1 -all"},
		"two":          {"v=STSv1; id=1;", "v=STSv1; id=2;"},
		"malformed":    {"v=STSv1; id=not an id;"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.publish("1", "mx.example.com")
				e.DNS.Set(txt, resolver.Records{TXT: txts})
				p := e.policy()
				e.want(p, mtasts.ModeNone, "")
				if p.Cause == nil {
					t.Error("no Cause")
				}
				if e.Requests(domain) != 0 {
					t.Error("the policy host was asked all the same: discovery must stop")
				}
			})
		})
	}
}

func TestRFC8461_3_3_WithoutAFetchablePolicyDeliveryGoesOn(t *testing.T) {
	for name, host := range map[string]struct {
		mtaststest.PolicyHost
		result mtasts.Result
	}{
		"404":          {mtaststest.PolicyHost{Status: 404}, mtasts.ResultPolicyFetchError},
		"unreachable":  {mtaststest.PolicyHost{Unreachable: true}, mtasts.ResultPolicyFetchError},
		"hangs":        {mtaststest.PolicyHost{Delay: time.Hour}, mtasts.ResultPolicyFetchError},
		"certificate":  {mtaststest.PolicyHost{Certificate: mtaststest.Expired}, mtasts.ResultWebPKIInvalid},
		"no policy":    {mtaststest.PolicyHost{Body: "<html>\r\n"}, mtasts.ResultPolicyInvalid},
		"invalid":      {mtaststest.PolicyHost{Body: "version: STSv1\nmode: on\nmax_age: 1\nmx: a\n"}, mtasts.ResultPolicyInvalid},
		"nothing good": {mtaststest.PolicyHost{Body: "version: STSv1\nmode: enforce\nmax_age: 1\nmx: 192.0.2.1\n"}, mtasts.ResultPolicyInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.publish("1", "mx.example.com")
				e.SetPolicyHost(domain, host.PolicyHost)
				p := e.policy()
				e.want(p, mtasts.ModeNone, "")
				if got := result(p.Cause); got != host.result {
					t.Errorf("cause is %v, want the result %s", p.Cause, host.result)
				}
				if _, err := p.CheckMX("any.example"); err != nil {
					t.Errorf("Host: %v", err)
				}
				// RFC 8461, Section 6: a reportable failure, as there is a TXT record.
				if ev := e.events(mtasts.EventPolicy); len(ev) != 1 || ev[0].Result != host.result {
					t.Errorf("events are %+v, want one with %s", ev, host.result)
				}
			})
		})
	}
}

func TestRFC8461_3_3_AFailedFetchBlocksThatIDForFiveMinutes(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.CheckInterval = time.Second
		e.restart()
		e.publish("1", "mx.example.com")
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 503})
		e.want(e.policy(), mtasts.ModeNone, "")
		e.publish("1", "mx.example.com") // mended under the same id
		for range 299 {
			e.sleep(time.Second)
			e.want(e.policy(), mtasts.ModeNone, "")
		}
		if n := e.Requests(domain); n != 1 {
			t.Fatalf("%d requests within five minutes, want 1", n)
		}
		e.sleep(time.Second)
		e.want(e.policy(), mtasts.ModeEnforce, "1")
	})
}

func TestANewIDIsFetchedAtOnceDespiteABlock(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.CheckInterval = time.Second
		e.restart()
		e.publish("1", "mx.example.com")
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 503})
		e.want(e.policy(), mtasts.ModeNone, "")
		e.publish("2", "mx.example.com")
		e.sleep(2 * time.Second)
		e.want(e.policy(), mtasts.ModeEnforce, "2")
	})
}

func TestRFC8461_3_4_AParentZoneIsNotAsked(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.want(e.policyFor("mail.example.com"), mtasts.ModeNone, "")
		if e.DNS.Queries("_mta-sts.mail.example.com") != 1 || e.DNS.Queries("") != 2 {
			t.Error("something else than the domain's own record was asked for")
		}
	})
}

func TestRFC8461_3_4_ASmartHostsPolicyDomainIsItsOwn(t *testing.T) {
	for _, hop := range []string{"[relay.example]:587", "[relay.example]", "relay.example:25", "RELAY.example."} {
		play(t, func(t *testing.T, e *env) {
			e.Publish("relay.example", "1", mtaststest.Policy(mtasts.ModeEnforce, week, "relay.example"))
			p := e.policyFor(hop)
			e.want(p, mtasts.ModeEnforce, "1")
			if p.Domain != "relay.example" {
				t.Errorf("%s: the policy domain is %s", hop, p.Domain)
			}
		})
	}
}

func TestRFC8461_3_4_AnAddressLiteralHasNoPolicyAndIsNotLookedUp(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		for _, hop := range []string{"[192.0.2.1]", "[192.0.2.1]:25", "[IPv6:2001:db8::1]", "[2001:db8::1]:587"} {
			p := e.policyFor(hop)
			e.want(p, mtasts.ModeNone, "")
			if h, err := p.CheckMX("192.0.2.1"); err != nil || h.TLSConfig(nil) == nil {
				t.Errorf("%s: Host: %v", hop, err)
			}
			if _, err := e.client.Recheck(t.Context(), hop); err != nil {
				t.Errorf("Recheck(%s): %v", hop, err)
			}
		}
		if e.DNS.Queries("") != 0 {
			t.Error("an address literal was looked up")
		}
	})
}

func TestAMalformedDomainIsAnErrorAndIsNotLookedUp(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		for _, name := range []string{"", ".", "a/b", "a b", "a\x00b.example", "a\r\nb.example", "..", "user@example.com", "192.0.2.1",
			"-a.example", strings.Repeat("a", 64) + ".example", strings.Repeat("abcdefghi.", 25) + "abcd", "[relay.example", "[]", "relay.example:0",
			strings.Repeat("\u00fc", 1<<16), "\xff.example"} {
			for _, ask := range []func(context.Context, string) (*mtasts.Policy, error){e.client.PolicyFor, e.client.Recheck} {
				p, err := ask(t.Context(), name)
				if !errors.Is(err, mtasts.ErrInvalidDomain) || p != nil {
					t.Errorf("%.40q: policy %v, error %v; want ErrInvalidDomain", name, p, err)
					continue
				}
				if text := err.Error(); !strings.HasPrefix(text, "mtasts: ") || len(text) > 1000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("the error is not one short line of printable ASCII: %q", text)
				}
			}
		}
		if e.DNS.Queries("") != 0 {
			t.Error("a malformed domain was looked up")
		}
	})
}

func TestAULabelIsLookedUpAsAnALabel(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.Publish("xn--bcher-kva.example", "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.xn--bcher-kva.example"))
		p := e.policyFor("B\u00dcCHER.example")
		e.want(p, mtasts.ModeEnforce, "1")
		if _, err := p.CheckMX("mx.b\u00fccher.example"); err != nil {
			t.Errorf("Host: %v", err)
		}
	})
}

func TestADomainTooLongForARecordHasNoPolicy(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		long := strings.Repeat("abcdefghi.", 24) + "abcdefghij" // 250 octets
		e.want(e.policyFor(long), mtasts.ModeNone, "")
		if e.DNS.Queries("") != 0 {
			t.Error("a name that cannot exist was looked up")
		}
	})
}

func TestManyCallersShareOneDiscovery(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.publish("1", "mx.example.com")
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1"}, Delay: time.Second})
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if p, err := e.client.PolicyFor(t.Context(), domain); err != nil || p.Mode != mtasts.ModeEnforce {
					t.Errorf("%v, %v", p, err)
				}
			})
		}
		wg.Wait()
		if q, r := e.DNS.Queries(txt), e.Requests(domain); q != 1 || r != 1 {
			t.Errorf("%d queries and %d requests for 1000 callers at once, want 1 and 1", q, r)
		}
	})
}

func TestACallerReturnsAtItsDeadlineAndTheResultIsCached(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.publish("1", "mx.example.com")
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Delay: 30 * time.Second,
			Body: mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com")})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		_, err := e.client.PolicyFor(ctx, domain)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want the deadline", err)
		}
		if waited := time.Since(before); waited != time.Second {
			t.Errorf("the caller left after %v, want 1s", waited)
		}
		e.sleep(time.Minute)
		e.want(e.policy(), mtasts.ModeEnforce, "1")
		if n := e.Requests(domain); n != 1 {
			t.Errorf("%d requests, want 1: the discovery was not to begin anew", n)
		}
	})
}

func TestAbsenceIsCachedForFiveMinutesOnly(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.want(e.policy(), mtasts.ModeNone, "")
		e.publish("1", "mx.example.com")
		e.sleep(5*time.Minute - 1)
		e.want(e.policy(), mtasts.ModeNone, "")
		if n := e.DNS.Queries(txt); n != 1 {
			t.Errorf("%d queries, want 1", n)
		}
		e.sleep(1)
		e.want(e.policy(), mtasts.ModeEnforce, "1")
	})
}

func TestADNSErrorIsNoAbsence(t *testing.T) {
	for name, failure := range map[string]resolver.Failure{"SERVFAIL": resolver.ServFail, "REFUSED": resolver.Refused, "time-out": resolver.Timeout} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.blockDNS(failure)
				p := e.policy()
				e.want(p, mtasts.ModeNone, "")
				cause, ok := errors.AsType[*mtasts.Error](p.Cause)
				if !ok || !cause.Temporary {
					t.Errorf("cause is %v: a strict caller cannot tell that it is temporary", p.Cause)
				}
				if _, ok := errors.AsType[*net.DNSError](p.Cause); !ok {
					t.Errorf("cause %v does not wrap the *net.DNSError", p.Cause)
				}
				e.publish("1", "mx.example.com")
				e.sleep(30*time.Second - 1)
				e.want(e.policy(), mtasts.ModeNone, "")
				if n := e.DNS.Queries(txt); n != 1 {
					t.Errorf("%d queries within 30 s, want 1", n)
				}
				e.sleep(1)
				e.want(e.policy(), mtasts.ModeEnforce, "1")
			})
		})
	}
}

func TestAnAuthoritativeAbsenceIsNotTemporary(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		p := e.policy()
		if cause, ok := errors.AsType[*mtasts.Error](p.Cause); !ok || cause.Temporary {
			t.Errorf("cause is %+v, want an *Error that is not temporary", p.Cause)
		}
	})
}

func TestANegativeCheckIntervalChecksOnEveryCall(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.CheckInterval = -1
		e.restart()
		e.publish("1", "old.example.com")
		for i := range 3 {
			e.want(e.policy(), mtasts.ModeEnforce, "1")
			if n := e.DNS.Queries(txt); n != i+1 {
				t.Fatalf("%d queries after %d calls", n, i+1)
			}
		}
		e.publish("2", "new.example.com")
		e.want(e.policy(), mtasts.ModeEnforce, "2")
		e.blockDNS(resolver.ServFail)
		e.want(e.policy(), mtasts.ModeEnforce, "2")
	})
}

func TestCloseEndsADiscoveryAndItsCallers(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.publish("1", "mx.example.com")
		e.SetPolicyHost(domain, mtaststest.PolicyHost{Delay: time.Hour})
		got := make(chan error)
		go func() {
			_, err := e.client.PolicyFor(context.Background(), domain)
			got <- err
		}()
		synctest.Wait()
		e.stop()
		if err := <-got; !errors.Is(err, mtasts.ErrClosed) {
			t.Errorf("error is %v, want ErrClosed", err)
		}
		if _, err := e.client.PolicyFor(t.Context(), "other.example"); !errors.Is(err, mtasts.ErrClosed) {
			t.Errorf("after Close: error is %v, want ErrClosed", err)
		}
		if len(e.Events()) != 0 {
			t.Errorf("events: %+v; Close is nobody's failure", e.Events())
		}
	})
}
