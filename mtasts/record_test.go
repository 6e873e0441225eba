package mtasts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// A domain whose record is invalid has no policy. A report says no-policy-found, so no result
// type fits. Its publisher still wants to know.
func TestRFC8461_3_1_AnInvalidRecordIsReportedWithoutAResult(t *testing.T) {
	for _, test := range []struct {
		name   string
		txts   []string
		reason string
		events int
	}{
		{"no id", []string{"v=STSv1;"}, mtasts.ReasonRecordInvalid, 1},
		{"a bad id", []string{"v=STSv1; id=a-b;"}, mtasts.ReasonRecordInvalid, 1},
		{"two", []string{"v=STSv1; id=1;", "v=STSv1; id=2;"}, mtasts.ReasonRecordsMany, 1},
		{"none", nil, mtasts.ReasonNoRecord, 0},
		{"another's", []string{"v=spf1 -all"}, mtasts.ReasonNoRecord, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.DNS.Set(txt, resolver.Records{TXT: test.txts})
				cause, ok := e.policy().Cause.(*mtasts.Error)
				if !ok || cause.Reason != test.reason || cause.Result != "" || cause.Temporary {
					t.Errorf("cause is %#v", cause)
				}
				ev := e.Events()
				if len(ev) != test.events || len(ev) == 1 && (ev[0].Kind != mtasts.EventPolicy || ev[0].Reason != test.reason || ev[0].Result != "" || ev[0].Policy != nil) {
					t.Errorf("events are %+v", ev)
				}
			})
			if test.events == 0 {
				return
			}
			play(t, func(t *testing.T, e *env) {
				e.cachePolicy()
				e.DNS.Set(txt, resolver.Records{TXT: test.txts})
				e.sleep(5 * time.Minute)
				e.want(e.policy(), mtasts.ModeEnforce, "1")
				ev := e.events(mtasts.EventPolicy)
				if len(ev) != 1 || ev[0].Result != mtasts.ResultPolicyInvalid || ev[0].Reason != test.reason || ev[0].Policy == nil {
					t.Errorf("events are %+v, want sts-policy-invalid (Section 6)", ev)
				}
			})
		})
	}
}

func TestAnErrorSaysWhatThePolicyAllows(t *testing.T) {
	p := &mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce}
	for i := range 1000 {
		p.MX = append(p.MX, strings.Repeat("a", 1+i%60)+".example.net")
	}
	for _, test := range []struct {
		patterns int
		want     string
	}{{1, "which allows a.example.net"}, {3, "which allows a.example.net, aa.example.net, aaa.example.net"}, {1000, "and 995 more"}} {
		q := *p
		q.MX = p.MX[:test.patterns]
		_, err := q.CheckMX("mx.example.com")
		if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 900 {
			t.Errorf("%v, want %q in it", err, test.want)
		}
	}
}

func TestNoPolicyDemandsNothing(t *testing.T) {
	for given, want := range map[string]string{"Example.COM.": "example.com", "[relay.example]:25": "relay.example", "b\u00fccher.example": "xn--bcher-kva.example", "not a domain": "not a domain"} {
		p := mtasts.NoPolicy(given)
		if p.Domain != want || p.Mode != mtasts.ModeNone || p.Cause == nil {
			t.Errorf("NoPolicy(%q) = %+v", given, p)
		}
		h, err := p.CheckMX("any.example")
		if err != nil || !h.TLSConfig(nil).InsecureSkipVerify || h.AllowFallback(nil) != nil {
			t.Errorf("NoPolicy(%q) demands something: %v", given, err)
		}
	}
}

func TestEnhancedCodes(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		code := func(err error) string {
			t.Helper()
			failure, ok := err.(*mtasts.Error)
			if !ok {
				t.Fatalf("error is %v", err)
			}
			return failure.EnhancedCode()
		}
		h := e.host(mtasts.ModeEnforce)
		_, notListed := e.policy().CheckMX("other.example")
		_, invalid := e.client.PolicyFor(t.Context(), "a..b")
		e.DNS.Set("_mta-sts.dead.example", resolver.Records{Fail: resolver.ServFail})
		e.DNS.Set("_mta-sts.slow.example", resolver.Records{Delay: time.Hour})
		_, left := e.within(0, "slow.example")
		e.stop()
		_, closed := e.client.PolicyFor(t.Context(), domain)
		e.start()
		for name, test := range map[string]struct{ got, want string }{
			"not listed": {code(notListed), "4.4.8"},
			"TLS":        {code(h.AllowFallback(nil)), "4.7.5"},
			"malformed":  {code(invalid), "5.1.2"},
			"DNS":        {code(e.policyFor("dead.example").Cause), "4.4.3"},
			"left":       {code(left), "4.4.3"},
			"closed":     {code(closed), "4.3.2"},
		} {
			if test.got != test.want {
				t.Errorf("%s: %s, want %s", name, test.got, test.want)
			}
		}
	})
}
