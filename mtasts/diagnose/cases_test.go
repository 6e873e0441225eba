package diagnose_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

func policyHost(status int, body string) mtaststest.PolicyHost {
	return mtaststest.PolicyHost{Status: status, Header: http.Header{"Content-Type": {"text/plain"}}, Body: body}
}

func TestNearestPattern(t *testing.T) {
	for _, test := range []struct{ pattern, mx, why string }{
		{"*.example.com", "a.mx.example.com", "one label, and the host has 2 before example.com"},
		{"*.example.com", "example.com", "the host has none"},
		{"example.com", "mx.example.com", "without an asterisk"},
		{".example.com", "mx.example.com", "no host name and no wildcard"},
		{"https://mx.example.com", "mx.example.com", "no host name and no wildcard"},
		{"mail.example.com", "mx.example.com", ""},
		{"mx.example.net", "mx.example.com", ""},
	} {
		bubble(t, test.pattern, func(t *testing.T, l *lab) {
			l.opts.Probe = false
			l.policy(mtasts.ModeEnforce, month, "spare.invalid", test.pattern)
			l.mx(test.mx)
			mx := l.diagnose(t).MX[0]
			if !strings.Contains(mx.NearWhy, test.why) || (mx.Near == test.pattern) != (test.why != "") {
				t.Errorf("near %q, why %q; want %q", mx.Near, mx.NearWhy, test.why)
			}
		})
	}
}

// The column of a piece of evidence is where a caret belongs under it.
func TestCarets(t *testing.T) {
	bubble(t, "line", func(t *testing.T, l *lab) {
		l.file("version: STSv1\r\nmode: enforce\r\nmax_age:  604800s\r\nmx: mx.example.com\r\n")
		f := find(t, l.diagnose(t), "file-invalid")
		if e := f.Evidence[0]; e.Label != "line 3" || e.Text[e.Column-1:] != "604800s" {
			t.Errorf("%+v", e)
		}
		if len(f.Publish) != 1 || f.Publish[0] != "max_age: 604800" {
			t.Errorf("publish %q", f.Publish)
		}
	})
	bubble(t, "key", func(t *testing.T, l *lab) {
		l.file(mtaststest.Policy(mtasts.ModeEnforce, month, mxHost) + "MX: mx2.example.com\n")
		f := find(t, l.diagnose(t), "file-key-misspelt")
		if e := f.Evidence[0]; e.Column != 1 || e.Label != "line 5" || f.Publish[0] != "mx: mx2.example.com" {
			t.Errorf("%+v", f)
		}
	})
	bubble(t, "record", func(t *testing.T, l *lab) {
		l.record("v=STSv1; note=\u00fc; id=1;", "v=spf1 -all")
		e := find(t, l.diagnose(t), "record-invalid").Evidence[0]
		if e.Text[e.Column-1:] != `note=\u00fc; id=1;` {
			t.Errorf("%+v", e)
		}
	})
}

// For how long a policy has been in mode testing, its id or the age of the file tells.
// A list that is null was not examined.
func TestMXHostsThatAreNotKnown(t *testing.T) {
	bubble(t, "no MX record", func(t *testing.T, l *lab) {
		l.DNS.Set(domain, resolver.Records{})
		if r := l.diagnose(t); r.MX == nil || len(r.MX) != 0 {
			t.Errorf("%+v", r.MX)
		}
	})
	bubble(t, "the DNS fails", func(t *testing.T, l *lab) {
		l.DNS.Set(domain, resolver.Records{Fail: resolver.ServFail})
		if r := l.diagnose(t); r.MX != nil {
			t.Errorf("%+v", r.MX)
		}
	})
	bubble(t, "no domain", func(t *testing.T, l *lab) {
		l.domain = "a..b"
		if r := l.diagnose(t); r.MX != nil {
			t.Errorf("%+v", r.MX)
		}
	})
}

func TestTestingSince(t *testing.T) {
	for id, want := range map[string]string{"19991201": "since 1999-12-01, 31 days ago", "19991201T1": "since 1999-12-01", "a1": "the file has not changed since 1999-11-30", "19991301": "since 1999-11-30", "b1": "in the cache on 1999-12-29, 2 days ago"} {
		bubble(t, id, func(t *testing.T, l *lab) {
			l.record("v=STSv1; id=" + id)
			l.SetPolicyHost(domain, mtaststest.PolicyHost{Body: mtaststest.Policy(mtasts.ModeTesting, month, mxHost),
				Header: http.Header{"Last-Modified": {"Tue, 30 Nov 1999 12:00:00 GMT"}}})
			if id == "b1" {
				l.policy(mtasts.ModeTesting, month, mxHost)
				l.opts.Cached = &mtasts.Cached{Policy: &mtasts.Policy{Mode: mtasts.ModeTesting, ID: id, Fetched: time.Now().Add(-50 * time.Hour)}}
			}
			if f := find(t, l.diagnose(t), "mode-testing"); !strings.Contains(f.Text, want) {
				t.Errorf("%q does not say %q", f.Text, want)
			}
		})
	}
}

func find(t *testing.T, r *diagnose.Report, code diagnose.Code) diagnose.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Code == code {
			return f
		}
	}
	t.Fatalf("no %s among %v", code, codes(r))
	return diagnose.Finding{}
}

// A published record or line mends what it is published for.
func TestWhatToPublishIsValid(t *testing.T) {
	for _, fault := range recordFaults {
		bubble(t, fault.name, func(t *testing.T, l *lab) {
			fault.set(l)
			for _, f := range l.diagnose(t).Findings {
				for _, line := range f.Publish {
					_, txt, ok := strings.Cut(strings.TrimSuffix(line, `"`), ` IN TXT "`)
					if !ok {
						continue
					}
					l := newLab()
					if l.record(txt); l.diagnose(t).Record.ID == "" {
						t.Errorf("%s: %q is no valid record", f.Code, line)
					}
				}
			}
		})
	}
}

func TestSteps(t *testing.T) {
	state := func(r *diagnose.Report, id diagnose.StepID) diagnose.State {
		for _, s := range r.Steps {
			if s.ID == id {
				return s.State
			}
		}
		return ""
	}
	bubble(t, "good", func(t *testing.T, l *lab) {
		r := l.diagnose(t)
		for _, s := range r.Steps {
			want := diagnose.Pass
			if s.ID == diagnose.StepDANE {
				want = diagnose.NotUsed
			}
			if s.State != want || s.Text == "" || s.Title == "" {
				t.Errorf("%+v", s)
			}
		}
		if r.Verdict.Status != diagnose.Fine || r.Verdict.Delivery != diagnose.Deliver {
			t.Errorf("%+v", r.Verdict)
		}
	})
	bubble(t, "what was not tested has not passed", func(t *testing.T, l *lab) {
		l.opts.Probe = false
		l.SetPolicyHost(domain, mtaststest.PolicyHost{Unreachable: true})
		l.opts.Resolver = plainResolver{l.DNS}
		r := l.diagnose(t)
		for id, want := range map[diagnose.StepID]diagnose.State{"record": diagnose.Pass, "host": diagnose.Fail, "tls": diagnose.NotTested,
			"answer": diagnose.NotTested, "file": diagnose.NotTested, "probe": diagnose.NotTested, "dane": diagnose.NotTested} {
			if got := state(r, id); got != want {
				t.Errorf("%s is %q, want %q", id, got, want)
			}
		}
		if r.Record.Aliases != nil {
			t.Errorf("aliases %q, from a resolver that cannot tell", r.Record.Aliases)
		}
	})
	bubble(t, "aliases", func(t *testing.T, l *lab) {
		l.DNS.Set("_mta-sts."+domain, resolver.Records{CNAME: "_mta-sts.example.net"})
		l.DNS.Set("_mta-sts.example.net", resolver.Records{TXT: []string{"v=STSv1; id=1"}})
		if r := l.diagnose(t); len(r.Record.Aliases) != 1 || r.Record.Aliases[0] != "_mta-sts.example.net" || r.Record.ID != "1" {
			t.Errorf("%+v", r.Record)
		}
	})
}

var _ diagnose.Resolver = (*net.Resolver)(nil)

// A plainResolver has no more than *net.Resolver.
type plainResolver struct{ diagnose.Resolver }

func TestADiagnosisEndsWithItsContext(t *testing.T) {
	bubble(t, "cancelled", func(t *testing.T, l *lab) {
		l.SetPolicyHost(domain, mtaststest.PolicyHost{Delay: 1 << 40})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := diagnose.Diagnose(ctx, domain, &l.opts)
		checkReport(t, r)
		if find(t, r, "diagnosis-incomplete"); r.Seconds > 1 || r.Verdict.Status == diagnose.Fine {
			t.Errorf("%v seconds, %+v", r.Seconds, r.Verdict)
		}
	})
}

func TestConcurrentDiagnoses(t *testing.T) {
	l := newLab()
	var all sync.WaitGroup
	defer all.Wait()
	for range 8 {
		all.Go(func() {
			if r := diagnose.Diagnose(t.Context(), domain, &l.opts); len(r.Findings) > 0 {
				t.Errorf("%v", codes(r))
			}
		})
	}
}

// The five ways in which policies are published come out clean, or with what they deserve.
func TestPublishers(t *testing.T) {
	for _, p := range []struct {
		domain, mx, record, file, tlsrpt, want string
		set                                    func(*lab)
	}{
		{domain: "naut.ca", mx: "mail.naut.ca", record: "v=STSv1; id=20160831085700Z;",
			file: "version: STSv1\r\nmode: enforce\r\nmx: *.naut.ca\r\nmax_age: 604800\r\n"},
		{domain: "nmrc.org", mx: "talon.nmrc.org", record: "v=STSv1; id=20240627092600;",
			file: "version: STSv1\nmode: testing\nmx: talon.nmrc.org\nmax_age: 604800\n", want: "mode-testing tlsrpt-misplaced",
			set: func(l *lab) {
				l.DNS.Set("_smtp_tls.nmrc.org", resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:tlsrpt@nmrc.org"}})
			}},
		{domain: "nethence.com", mx: "xc.nethence.com", record: "v=STSv1; id=apr2021", tlsrpt: "v=TLSRPTv1; rua=mailto:tlsrpt@nethence.com",
			file: "version: STSv1\nmode: testing\nmx: xc.nethence.com\nmax_age: 86400\n", want: "max-age-week mode-testing"},
		{domain: "example.org", mx: "mail.example.net", tlsrpt: "alias",
			file: "version: STSv1\nmode: enforce\nmx: mail.example.net\nmax_age: 604800\n",
			set: func(l *lab) {
				l.DNS.Set("_mta-sts.example.org", resolver.Records{CNAME: "_mta-sts.example.net"})
				l.DNS.Set("_mta-sts.example.net", resolver.Records{TXT: []string{"v=STSv1; id=20230101000000;"}})
				l.DNS.Set("_smtp._tls.example.org", resolver.Records{CNAME: "_smtp._tls.example.net"})
				l.DNS.Set("_smtp._tls.example.net", resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:tlsrpt@example.net"}})
			}},
		{domain: "pages.example", mx: "pages-example.j-v1.mx.microsoft", record: "v=STSv1; id=20240728",
			file: "version: STSv1\nmode: testing\nmx: pages-example.mail.protection.outlook.com\nmx: *.j-v1.mx.microsoft\nmax_age: 604800\n",
			want: "mode-testing pattern-unused tlsrpt-missing"},
	} {
		bubble(t, p.domain, func(t *testing.T, l *lab) {
			l.domain = p.domain
			l.DNS.Set(p.domain, resolver.Records{MX: []net.MX{{Host: p.mx}}})
			l.DNS.Set("_mta-sts."+p.domain, resolver.Records{TXT: []string{p.record}})
			l.AddMX(p.mx, mtaststest.MX{Certificate: mtaststest.WildcardName})
			l.SetPolicyHost(p.domain, mtaststest.PolicyHost{Body: p.file, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Cache-Control": {"max-age=600"}}})
			if p.tlsrpt != "" {
				l.DNS.Set("_smtp._tls."+p.domain, resolver.Records{TXT: []string{p.tlsrpt}})
			}
			if p.set != nil {
				p.set(l)
			}
			r := l.diagnose(t)
			var got []string
			for _, code := range codes(r) {
				got = append(got, string(code))
			}
			if strings.Join(got, " ") != p.want {
				t.Errorf("got %q, want %q", got, p.want)
			}
		})
	}
}
