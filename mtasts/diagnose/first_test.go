package diagnose_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// Whatever is wrong with a domain, the first finding is the one that matters, and says what
// to publish if that is safe to say. A domain without a policy has no fault.
func TestFirstFinding(t *testing.T) {
	const evil = "\x1b[2J\x07\u202e\xff<script>alert(1)</script>"
	for _, c := range []struct {
		name, first, publish string
		status               diagnose.Status
		set                  func(l *lab)
	}{
		{"mail has moved to a provider", "mx-not-listed", "", diagnose.HasFindings, func(l *lab) {
			l.mx("aspmx.l.google.com", "alt1.aspmx.l.google.com")
			l.AddMX("aspmx.l.google.com", mtaststest.MX{})
			l.AddMX("alt1.aspmx.l.google.com", mtaststest.MX{})
		}},
		{"an attack on a sender with a cached policy", "mx-not-listed", "", diagnose.HasFindings, func(l *lab) {
			l.opts.Cached = cached(l, "20000101", mtaststest.Policy(mtasts.ModeEnforce, month, mxHost), time.Hour)
			l.record()
			l.SetPolicyHost(domain, mtaststest.PolicyHost{Unreachable: true})
			l.mx("mx.attacker.example")
			l.AddMX("mx.attacker.example", mtaststest.MX{Certificate: mtaststest.WrongName})
		}},
		{"a record in quotation marks, and an expired certificate", "record-near-miss", "", diagnose.HasFindings, func(l *lab) {
			l.record(`"v=STSv1; id=1;"`)
			l.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.Expired})
		}},
		{"a wildcard in the DNS, and no policy", "record-missing", "", diagnose.Fine, func(l *lab) {
			l.record()
			l.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.WrongName})
		}},
		{"no policy, and no STARTTLS", "record-missing", "", diagnose.Fine, func(l *lab) {
			l.domain = "plain.example"
			l.DNS.Set("plain.example", resolver.Records{MX: []net.MX{{Host: "mx.plain.example"}}})
			l.AddMX("mx.plain.example", mtaststest.MX{NoSTARTTLS: true})
		}},
		{"upper case and a final dot", "", "", diagnose.Fine, func(l *lab) { l.domain = "EXAMPLE.com." }},
		{"a smart host", "record-at-parent", "", diagnose.Fine, func(l *lab) { l.domain = "[mail.example.com]:587" }},
		{"an address literal", "address-literal", "", diagnose.Fine, func(l *lab) { l.domain = "[IPv6:2001:db8::1]" }},
		{"an address", "domain-invalid", "", diagnose.HasFindings, func(l *lab) { l.domain = "192.0.2.7" }},
		{"a U-label in the policy", "mx-pattern-odd", "mx: mx.xn--bcher-kva.example", diagnose.HasFindings, func(l *lab) {
			l.domain = "b\u00fccher.example"
			l.DNS.Set("xn--bcher-kva.example", resolver.Records{MX: []net.MX{{Host: "mx.xn--bcher-kva.example"}}})
			l.Publish("xn--bcher-kva.example", "1", "version: STSv1\nmode: enforce\nmx: mx.b\u00fccher.example\nmax_age: 604800\n")
			l.AddMX("mx.xn--bcher-kva.example", mtaststest.MX{})
		}},
		{"a subdomain", "record-at-parent", "", diagnose.HasFindings, func(l *lab) {
			l.domain = "lists.example.com"
			l.DNS.Set("lists.example.com", resolver.Records{MX: []net.MX{{Host: mxHost}}})
		}},
		{"hostile text everywhere", "record-invalid", "", diagnose.HasFindings, func(l *lab) {
			l.record("v=STSv1; id=" + evil)
			l.SetPolicyHost(domain, mtaststest.PolicyHost{Status: 404, Header: http.Header{"Content-Type": {evil}, "Location": {evil}}, Body: evil})
			l.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: evil}}})
		}},
		{"misspelt fields", "file-key-misspelt", "version: STSv1", diagnose.HasFindings, func(l *lab) {
			l.file("Version: STSv1\nmode: testing\nmaxage: 86400\nmx: mx.example.com\n")
		}},
		{"all hosts in one line", "mx-pattern-odd", "mx: mx1.example.com", diagnose.HasFindings, func(l *lab) {
			l.mx("mx1.example.com", "mx2.example.com")
			l.file("version: STSv1\nmode: enforce\nmax_age: 604800\nmx: mx1.example.com, mx2.example.com\n")
		}},
		{"an empty file", "file-invalid", "", diagnose.HasFindings, func(l *lab) { l.file("") }},
		{"the start page", "answer-html", "", diagnose.HasFindings, func(l *lab) {
			l.SetPolicyHost(domain, mtaststest.PolicyHost{Header: http.Header{"Content-Type": {"text/html"}}, Body: "<!doctype html>\n<html>\n<title>Hi</title>"})
		}},
		{"a redirect", "answer-redirect", "", diagnose.HasFindings, func(l *lab) { l.answer(302, "Location", "https://www.example.com/.well-known/mta-sts.txt") }},
		{"a bot check", "answer-bot-check", "", diagnose.HasFindings, func(l *lab) { l.opts.Transport = botCheck{l.opts.Transport} }},
		{"a provider's certificate", "mx-certificate-name", "", diagnose.HasFindings, func(l *lab) { l.at(mtaststest.MX{Certificate: mtaststest.WrongName}) }},
		{"one MX host not listed, one expired", "mx-certificate-expired", "", diagnose.HasFindings, func(l *lab) {
			l.mx(mxHost, "mx2.example.com")
			l.at(mtaststest.MX{Certificate: mtaststest.Expired})
			l.AddMX("mx2.example.com", mtaststest.MX{})
		}},
		{"a new file under the old id", "id-unchanged", "", diagnose.HasFindings, func(l *lab) {
			l.opts.Cached = cached(l, "20000101", mtaststest.Policy(mtasts.ModeEnforce, month, "old.example.com"), time.Hour)
		}},
		{"a null MX", "mx-null", "", diagnose.Fine, func(l *lab) { l.mx(".") }},
		{"nothing at all", "record-missing", "", diagnose.Fine, func(l *lab) { l.domain = "nothing.example" }},
		{"a broken DNS", "record-dns-failure", "", diagnose.Undecided, func(l *lab) {
			for _, n := range []string{domain, "_mta-sts." + domain, "_smtp._tls." + domain} {
				l.DNS.Set(n, resolver.Records{Fail: resolver.ServFail})
			}
		}},
		{"an alias that leads nowhere", "record-alias-dangling", "", diagnose.HasFindings, func(l *lab) {
			l.DNS.Set("_mta-sts."+domain, resolver.Records{CNAME: "_mta-sts.provider.example"})
		}},
		{"two labels under a wildcard", "mx-not-listed", "mx: a.mx.example.com", diagnose.HasFindings, func(l *lab) {
			l.policy(mtasts.ModeEnforce, time.Hour, "*.example.com")
			l.mx("a.mx.example.com")
			l.AddMX("a.mx.example.com", mtaststest.MX{MaxTLS: 0x0302})
		}},
		{"no id", "record-invalid", "", diagnose.HasFindings, func(l *lab) { l.record("v=STSv1;") }},
		{"a misspelt mode", "file-invalid", "mode: testing", diagnose.HasFindings, func(l *lab) { l.file("version: STSv1\nmode: enforced\nmax_age: 604800\nmx: mx.example.com\n") }},
		{"no mx line", "file-invalid", "mx: mx.example.com", diagnose.HasFindings, func(l *lab) { l.file("version: STSv1\nmode: enforce\nmax_age: 604800\n") }},
		{"the record at the domain itself", "record-wrong-name", "", diagnose.HasFindings, func(l *lab) {
			l.record()
			l.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: mxHost}}, TXT: []string{"v=STSv1; id=1;"}})
		}},
	} {
		bubble(t, c.name, func(t *testing.T, l *lab) {
			c.set(l)
			r := l.diagnose(t)
			first, lines := "", ""
			if len(r.Findings) > 0 {
				first, lines = string(r.Findings[0].Code), strings.Join(r.Findings[0].Publish, "\n")
			}
			if first != c.first || r.Verdict.Status != c.status || !strings.HasPrefix(lines, c.publish) {
				t.Errorf("first %q, publish %q, status %q", first, lines, r.Verdict.Status)
			}
			for i := 0; len(r.Findings) > 0 && first == "id-unchanged" && i < 2; i++ {
				want := []string{"cached, line 3: mx: old.example.com", "published, line 3: mx: mx.example.com"}[i]
				if e := r.Findings[0].Evidence[i]; e.Label+": "+e.Text != want {
					t.Errorf("evidence %+v, want %s", e, want)
				}
			}
			if strings.Contains(lines, "attacker") || strings.Contains(lines, "google") {
				t.Errorf("a foreign host is offered for publication: %q", lines)
			}
		})
	}
}
