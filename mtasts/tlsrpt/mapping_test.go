package tlsrpt_test

import (
	"io"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

func readAll(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return b
}

const domain, mx = "example.com", "mx.example.com"

// theReport lets the following day pass, and returns the policies of the one report.
func (r *rig) theReport() []readPolicy {
	r.t.Helper()
	r.wants(domain, "mailto:tls@example.com")
	r.sleep(2 * oneDay)
	got := r.reports()
	if len(got) != 1 {
		r.t.Fatalf("%d reports, want 1: %+v", len(got), got)
	}
	return got[0].report.Policies
}

func TestEachOutcomeHasItsPlaceInAReport(t *testing.T) {
	policy := func(mode mtasts.Mode) string { return mtaststest.Policy(mode, 30*oneDay, mx, "*.example.net") }
	text := func(mode mtasts.Mode) []string {
		return []string{"version: STSv1", "mode: " + string(mode), "mx: " + mx, "mx: *.example.net", "max_age: 2592000"}
	}
	addr := netip.MustParseAddr
	failure := func(result mtasts.Result, reason, host string) []readDetail {
		return []readDetail{{Result: string(result), Reason: reason, MX: host, HELO: host, SendingIP: addr("2001:db8::5"), ReceivingIP: addr("192.0.2.25"), Count: 1}}
	}
	sts := func(mode mtasts.Mode, ok, failed uint64, details []readDetail) []readPolicy {
		return []readPolicy{{Type: "sts", Domain: domain, Text: text(mode), MXHosts: []string{mx, "*.example.net"}, Successes: ok, Failures: failed, Details: details}}
	}
	unfetched := func(result mtasts.Result, reason string) []readPolicy {
		return []readPolicy{{Type: "sts", Domain: domain, Failures: 1, Details: failure(result, reason, mx)}}
	}
	none := func(ok, failed uint64, details []readDetail) []readPolicy {
		return []readPolicy{{Type: "no-policy-found", Domain: domain, Successes: ok, Failures: failed, Details: details}}
	}
	for name, test := range map[string]struct {
		policy  string // none if empty
		host    mtaststest.PolicyHost
		mx      string
		replies mtaststest.MX
		want    []readPolicy
	}{
		"success under enforce":   {policy: policy("enforce"), want: sts("enforce", 1, 0, nil)},
		"success under testing":   {policy: policy("testing"), want: sts("testing", 1, 0, nil)},
		"no STARTTLS":             {policy: policy("enforce"), replies: mtaststest.MX{NoSTARTTLS: true}, want: sts("enforce", 0, 1, failure(mtasts.ResultSTARTTLSNotSupported, "starttls-not-offered", mx))},
		"an expired certificate":  {policy: policy("testing"), replies: mtaststest.MX{Certificate: mtaststest.Expired}, want: sts("testing", 0, 1, failure(mtasts.ResultCertificateExpired, "", mx))},
		"a self-signed one":       {policy: policy("enforce"), replies: mtaststest.MX{Certificate: mtaststest.SelfSigned}, want: sts("enforce", 0, 1, failure(mtasts.ResultCertificateNotTrusted, "self-signed", mx))},
		"another's certificate":   {policy: policy("enforce"), replies: mtaststest.MX{Certificate: mtaststest.WrongName}, want: sts("enforce", 0, 1, failure(mtasts.ResultCertificateHostMismatch, "", mx))},
		"a host that is unlisted": {policy: policy("testing"), mx: "other.example", want: sts("testing", 0, 1, failure(mtasts.ResultValidationFailure, "mx-not-listed", "other.example"))},
		"one that is not dialled": {policy: policy("enforce"), mx: "other.example", want: sts("enforce", 0, 1, []readDetail{{
			Result: "validation-failure", Reason: "mx-not-listed", MX: "other.example", SendingIP: addr("::"), Count: 1}})},
		"no policy":                     {want: none(1, 0, nil)},
		"no policy, no STARTTLS":        {replies: mtaststest.MX{NoSTARTTLS: true}, want: none(0, 1, failure(mtasts.ResultSTARTTLSNotSupported, "starttls-not-offered", mx))},
		"no policy, a poor certificate": {replies: mtaststest.MX{Certificate: mtaststest.SelfSigned}, want: none(1, 0, nil)},
		"mode none":                     {policy: policy("none"), want: none(1, 0, nil)},
		"no policy file":                {policy: " ", host: mtaststest.PolicyHost{Status: 404}, want: unfetched(mtasts.ResultPolicyFetchError, "not-a-policy-file")},
		"an invalid one":                {policy: " ", host: mtaststest.PolicyHost{Body: "mode: none"}, want: unfetched(mtasts.ResultPolicyInvalid, "policy-invalid")},
		"an untrusted policy host":      {policy: " ", host: mtaststest.PolicyHost{Certificate: mtaststest.Expired}, want: unfetched(mtasts.ResultWebPKIInvalid, "certificate-expired")},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig) {
				if test.policy != "" {
					r.Publish(domain, "1", test.policy)
				}
				if test.policy == " " {
					r.SetPolicyHost(domain, test.host)
				}
				if test.mx == "" {
					test.mx = mx
				}
				r.AddMX(test.mx, test.replies)
				r.deliver(domain, test.mx)
				if got := r.theReport(); !reflect.DeepEqual(got, test.want) {
					t.Errorf("got  %+v\nwant %+v", got, test.want)
				}
			})
		})
	}
}

// RFC 8461, Section 6: failures to fetch a policy are reported though one is cached. They
// are no failed sessions.
func TestAFailedFetchIsReportedBesideACachedPolicy(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.Publish(domain, "1", mtaststest.Policy("enforce", 30*oneDay, mx))
		r.AddMX(mx, mtaststest.MX{})
		r.deliver(domain, mx)
		r.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 500})
		r.DNS.Set("_mta-sts."+domain, resolver.Records{TXT: []string{"v=STSv1; id=2;"}})
		r.sleep(time.Hour)
		r.deliver(domain, mx)
		got := r.theReport()
		if len(got) != 1 || got[0].Successes != 2 || got[0].Failures != 0 || len(got[0].Text) == 0 ||
			len(got[0].Details) != 1 || got[0].Details[0].Result != "sts-policy-fetch-error" || got[0].Details[0].Count != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDANEAndMTASTSCountSideBySide(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.Publish(domain, "1", mtaststest.Policy("enforce", 30*oneDay, mx))
		r.AddMX(mx, mtaststest.MX{})
		for _, result := range []mtasts.Result{"", "", tlsrpt.ResultTLSAInvalid, tlsrpt.ResultDNSSECInvalid, tlsrpt.ResultDANERequired} {
			r.deliver(domain, mx)
			if err := r.collector.Add(tlsrpt.Outcome{Domain: domain, PolicyDomain: mx, Type: tlsrpt.TypeTLSA,
				Policy: "3 1 1 AB\n2 0 1 CD", MX: mx, Result: result}); err != nil {
				t.Fatal(err)
			}
		}
		got := r.theReport()
		if len(got) != 2 || got[0].Type != "sts" || got[0].Successes != 5 {
			t.Fatalf("got %+v", got)
		}
		tlsa := got[1]
		if tlsa.Type != "tlsa" || tlsa.Domain != mx || !slices.Equal(tlsa.Text, []string{"3 1 1 AB", "2 0 1 CD"}) ||
			tlsa.MXHosts != nil || tlsa.Successes != 2 || tlsa.Failures != 3 || len(tlsa.Details) != 3 {
			t.Errorf("got %+v", tlsa)
		}
	})
}

func TestEventsThatAreNoOutcomesAreNotCounted(t *testing.T) {
	c := open(t, &cache.Memory{}, options())
	for _, e := range []mtasts.Event{
		{}, {Kind: mtasts.EventSession, Domain: domain}, {Kind: mtasts.EventOpportunistic, Domain: domain},
		{Kind: mtasts.EventPolicy, Domain: domain, Result: mtasts.ResultPolicyInvalid},
		{Kind: mtasts.EventRefresh, Domain: domain, Policy: &mtasts.Policy{Text: "x"}, Result: mtasts.ResultPolicyInvalid},
	} {
		c.Report(e)
	}
	if s := c.Stats(); s.Outcomes != 0 || s.Memory != 0 {
		t.Errorf("counted: %+v", s)
	}
}
