package diagnose_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// A botCheck answers browsers alone.
type botCheck struct{ http.RoundTripper }

func (b botCheck) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err == nil && !strings.HasPrefix(req.UserAgent(), "Mozilla/") {
		resp.StatusCode = http.StatusForbidden
	}
	return resp, err
}

// mx makes hosts the MX hosts of the domain.
func (l *lab) mx(hosts ...string) {
	var list []net.MX
	for i, host := range hosts {
		list = append(list, net.MX{Host: host, Pref: uint16(i)})
	}
	l.DNS.Set(domain, resolver.Records{MX: list})
}

func (l *lab) at(mx mtaststest.MX) { l.AddMX(mxHost, mx) }

var mxFaults = faults{
	{"SERVFAIL for the MX", func(l *lab) { l.DNS.Set(domain, resolver.Records{Fail: resolver.ServFail}) }, "mx-lookup-failed"},
	{"a null MX", func(l *lab) { l.mx(".") }, "mx-null"},
	{"no MX record", func(l *lab) {
		l.DNS.Set(domain, resolver.Records{Addr: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
		l.AddMX(domain, mtaststest.MX{})
		l.policy(mtasts.ModeEnforce, month, domain)
	}, "mx-none"},
	{"very many MX hosts", func(l *lab) { l.mx(slices.Repeat([]string{mxHost}, 30)...) }, "mx-too-many"},
	{"an MX that is not listed", func(l *lab) {
		l.mx(mxHost, "mx2.example.com")
		l.AddMX("mx2.example.com", mtaststest.MX{})
	}, "mx-not-listed"},
	{"no MX that is listed", func(l *lab) { l.policy(mtasts.ModeEnforce, month, "mail.example.com") }, "mail-held mx-not-listed pattern-unused"},
	{"two labels under a wildcard", func(l *lab) {
		l.policy(mtasts.ModeEnforce, month, "*.com")
	}, "mail-held mx-not-listed pattern-unused"},
	{"an MX that is an address", func(l *lab) { l.mx("192.0.2.1") }, "mail-held mx-not-a-name pattern-unused"},
	{"a spare pattern", func(l *lab) { l.policy(mtasts.ModeEnforce, month, mxHost, "*.provider.example") }, "pattern-unused"},
	{"no STARTTLS", func(l *lab) { l.at(mtaststest.MX{NoSTARTTLS: true}) }, "mail-held mx-no-starttls"},
	{"STARTTLS refused", func(l *lab) { l.at(mtaststest.MX{RefuseSTARTTLS: true}) }, "mail-held mx-no-starttls"},
	{"an old TLS", func(l *lab) { l.at(mtaststest.MX{MaxTLS: tls.VersionTLS11}) }, "mail-held mx-tls-old"},
	{"a client certificate", func(l *lab) { l.at(mtaststest.MX{ClientCertificate: true}) }, "mail-held mx-tls-failed"},
	{"another name", func(l *lab) { l.at(mtaststest.MX{Certificate: mtaststest.WrongName}) }, "mail-held mx-certificate-name"},
	{"a common name", func(l *lab) { l.at(mtaststest.MX{Certificate: mtaststest.CommonName}) }, "mail-held mx-certificate-name"},
	{"an expired certificate", func(l *lab) { l.at(mtaststest.MX{Certificate: mtaststest.Expired}) }, "mail-held mx-certificate-expired"},
	{"an early certificate", func(l *lab) { l.at(mtaststest.MX{Certificate: mtaststest.NotYetValid}) }, "mail-held mx-certificate-untrusted"},
	{"an unknown root", func(l *lab) { l.at(mtaststest.MX{Certificate: mtaststest.UnknownRoot}) }, "mail-held mx-certificate-untrusted"},
	{"an impostor", func(l *lab) { l.at(mtaststest.MX{Certificate: mtaststest.WrongKey}) }, "mail-held mx-tls-failed"},
	{"a wildcard in the certificate", func(l *lab) { l.at(mtaststest.MX{Certificate: mtaststest.WildcardName}) }, ""},
	{"a host that hangs up", func(l *lab) { l.at(mtaststest.MX{Replies: mtaststest.Replies{"": mtaststest.HangUp}}) }, "mx-unreachable"},
	{"a host that is full", func(l *lab) { l.at(mtaststest.MX{Replies: mtaststest.Replies{"": "421 too many"}}) }, "mx-unreachable"},
	{"a silent host", func(l *lab) { l.at(mtaststest.MX{Replies: mtaststest.Replies{"EHLO": ""}}) }, "mx-unreachable"},
	{"nobody there", func(l *lab) {
		l.mx("mx2.example.com")
		l.policy(mtasts.ModeEnforce, month, "mx2.example.com")
	}, "mx-unreachable"},
	{"a host that cannot take a large hello", func(l *lab) {
		l.opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := l.Dial(ctx, network, address)
			return smallHello{conn}, err
		}
	}, "mail-held mx-hello-too-large"},
	{"failures under mode testing", func(l *lab) {
		l.policy(mtasts.ModeTesting, month, "mail.example.com")
		l.at(mtaststest.MX{Certificate: mtaststest.Expired})
	}, "mode-testing mx-certificate-expired mx-not-listed pattern-unused"},
	{"failures without a policy", func(l *lab) {
		l.record()
		l.domain = "example.org"
		l.DNS.Set("example.org", resolver.Records{MX: []net.MX{{Host: mxHost}}})
		l.at(mtaststest.MX{NoSTARTTLS: true})
	}, "mx-no-starttls record-missing"},

	{"DANE", func(l *lab) {
		l.DNS.Set("_25._tcp."+mxHost, resolver.Records{TLSA: []resolver.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 32)}}, Authenticated: true})
	}, "dane-present"},
	{"TLSA that nobody has signed", func(l *lab) {
		l.DNS.Set("_25._tcp."+mxHost, resolver.Records{TLSA: []resolver.TLSA{{Usage: 3}}})
	}, ""},

	{"testing without reports", func(l *lab) {
		l.policy(mtasts.ModeTesting, month, mxHost)
		l.DNS.Set("_smtp._tls."+domain, resolver.Records{})
	}, "mode-testing tlsrpt-missing"},
	{"reports to the wrong name", func(l *lab) {
		l.DNS.Set("_smtp._tls."+domain, resolver.Records{})
		l.DNS.Set("_smtp_tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:a@example.com"}})
	}, "tlsrpt-misplaced"},
	{"reports to nobody", func(l *lab) {
		l.DNS.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; rua=postmaster@example.com"}})
	}, "tlsrpt-invalid"},
	{"SERVFAIL for reports", func(l *lab) { l.DNS.Set("_smtp._tls."+domain, resolver.Records{Fail: resolver.ServFail}) }, "tlsrpt-dns-failure"},
}

// A smallHello is the way to a host behind something that reads only the first packet of a
// hello.
type smallHello struct{ net.Conn }

func (s smallHello) Write(p []byte) (int, error) {
	if len(p) > 1200 {
		s.Conn.Close()
		return 0, errors.New("connection reset")
	}
	return s.Conn.Write(p)
}

func cached(l *lab, id, text string, age time.Duration) *mtasts.Cached {
	now := time.Now()
	return &mtasts.Cached{Policy: &mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce, MX: []string{mxHost}, ID: id, Text: text,
		Fetched: now.Add(-age), Expires: now.Add(month - age)}, LastUse: now}
}

var cachedFaults = faults{
	{"cached as published", func(l *lab) {
		l.opts.Cached = cached(l, "20000101", mtaststest.Policy(mtasts.ModeEnforce, month, mxHost), time.Hour)
	}, ""},
	{"another file under the id", func(l *lab) {
		l.opts.Cached = cached(l, "20000101", mtaststest.Policy(mtasts.ModeTesting, month, mxHost), time.Hour)
	}, "id-unchanged"},
	{"the same file under a new id", func(l *lab) {
		l.opts.Cached = cached(l, "19991231", mtaststest.Policy(mtasts.ModeEnforce, month, mxHost), time.Hour)
	}, "file-behind-record"},
	{"an older policy", func(l *lab) {
		l.opts.Cached = cached(l, "19991231", mtaststest.Policy(mtasts.ModeTesting, month, mxHost), time.Hour)
	}, "cached-differs"},
	{"a record that has gone", func(l *lab) {
		l.opts.Cached = cached(l, "20000101", mtaststest.Policy(mtasts.ModeEnforce, month, mxHost), time.Hour)
		l.record()
	}, "cached-in-use record-vanished"},
	{"other line ends under the id", func(l *lab) {
		l.opts.Cached = cached(l, "20000101", strings.ReplaceAll(mtaststest.Policy(mtasts.ModeEnforce, month, mxHost), "\r\n", "\n"), time.Hour)
	}, ""},
	{"a policy that outlives its host", func(l *lab) {
		l.opts.Cached = cached(l, "20000101", mtaststest.Policy(mtasts.ModeEnforce, month, mxHost), time.Hour)
		l.opts.Cached.Failures, l.opts.Cached.Since = 3, time.Now().Add(-time.Hour)
		l.SetPolicyHost(domain, mtaststest.PolicyHost{Unreachable: true})
	}, "cached-in-use cached-refresh-failing host-unreachable"},
	{"a policy that has expired", func(l *lab) {
		l.opts.Cached = cached(l, "20000101", mtaststest.Policy(mtasts.ModeEnforce, month, mxHost), 2*month)
		l.SetPolicyHost(domain, mtaststest.PolicyHost{Unreachable: true})
	}, "host-unreachable"},
}

func TestFindings(t *testing.T) {
	produced := make(map[diagnose.Code]bool)
	for name, list := range map[string]faults{"record": recordFaults, "host": hostFaults, "file": fileFaults, "mx": mxFaults, "cached": cachedFaults} {
		t.Run(name, func(t *testing.T) {
			for _, fault := range list {
				bubble(t, fault.name, func(t *testing.T, l *lab) {
					fault.set(l)
					r := l.diagnose(t)
					got := codes(r)
					for _, code := range got {
						produced[code] = true
					}
					var want []diagnose.Code
					for _, code := range strings.Fields(fault.want) {
						want = append(want, diagnose.Code(code))
					}
					if !slices.Equal(got, want) {
						t.Errorf("got %q, want %q", got, want)
						for _, f := range r.Findings {
							t.Logf("%s: %s", f.Code, f.Text)
						}
					}
				})
			}
		})
	}
	for _, f := range diagnose.Catalogue() {
		if !produced[f.Code] && !slices.Contains(elsewhere, f.Code) {
			t.Errorf("no test produces %s", f.Code)
		}
		if f.Severity == "" || f.Step == "" || f.Clause == "" || f.Title == "" || f.Text == "" || f.Effect == "" || f.Mend == "" {
			t.Errorf("the catalogue is not complete: %+v", f)
		}
	}
	if t.Failed() {
		return
	}
	for code := range produced {
		if !slices.ContainsFunc(diagnose.Catalogue(), func(f diagnose.Finding) bool { return f.Code == code }) {
			t.Errorf("%s is not in the catalogue", code)
		}
	}
}

// elsewhere are the codes that tests of their own produce.
var elsewhere = []diagnose.Code{
	"host-dns-failure", "host-not-public", "mx-not-public", // TestNetwork
	"host-certificate-expires-soon", "mx-certificate-expires-soon", "root-dropped", "no-authorities", // TestCertificates
}
