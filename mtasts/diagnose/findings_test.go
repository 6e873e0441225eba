package diagnose_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// checkText checks that a report is printable ASCII of bounded length in JSON, and that it
// comes back from there as it was.
func checkText(t *testing.T, r *diagnose.Report) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(text, func(c byte) bool { return c < ' ' || c > '~' }); i >= 0 {
		t.Errorf("a report with the octet %#x: %.100q", text[i], text[max(0, i-50):])
	}
	if len(text) > 1<<20 {
		t.Errorf("a report of %d octets", len(text))
	}
	var back diagnose.Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Error(err)
	}
}

type faults []struct {
	name string
	set  func(*lab)
	want string // codes
}

var recordFaults = faults{
	{"nothing to mend", func(l *lab) {}, ""},
	{"no record", func(l *lab) { l.record() }, "policy-unannounced"},
	{"no record and no host", func(l *lab) { l.domain = "example.net" }, "mx-none record-missing"},
	{"other records alone", func(l *lab) { l.record("v=spf1 -all") }, "policy-unannounced"},
	{"two records", func(l *lab) { l.record("v=STSv1; id=1;", "v=STSv1; id=2;") }, "record-many"},
	{"quotation marks", func(l *lab) { l.record(`"v=STSv1; id=1;"`) }, "record-near-miss"},
	{"an escaped semicolon", func(l *lab) { l.record(`v=STSv1\; id=1\;`) }, "record-near-miss"},
	{"wrong case", func(l *lab) { l.record(`v=stsv1; id=1;`) }, "record-near-miss"},
	{"an underscore too many", func(l *lab) {
		l.record()
		l.DNS.Set("_mta_sts."+domain, resolver.Records{TXT: []string{"v=STSv1; id=1;"}})
	}, "record-wrong-name"},
	{"the domain twice", func(l *lab) {
		l.record()
		l.DNS.Set("_mta-sts."+domain+"."+domain, resolver.Records{TXT: []string{"v=STSv1; id=1;"}})
	}, "record-wrong-name"},
	{"a record at the parent", func(l *lab) { l.domain = "sales.example.com" }, "mx-none record-at-parent"},
	{"an alias that leads nowhere", func(l *lab) {
		l.DNS.Set("_mta-sts."+domain, resolver.Records{CNAME: "_mta-sts.provider.example"})
	}, "record-alias-dangling"},
	{"a malformed record", func(l *lab) { l.record("v=STSv1; id=1;;") }, "record-invalid"},
	{"an invalid id", func(l *lab) { l.record("v=STSv1; id=2020-01-01;") }, "record-invalid"},
	{"no id", func(l *lab) { l.record("v=STSv1;") }, "record-invalid"},
	{"a space before the semicolon", func(l *lab) { l.record("v=STSv1 ; id=1;") }, "record-loose-delimiter"},
	{"SERVFAIL for the record", func(l *lab) { l.DNS.Set("_mta-sts."+domain, resolver.Records{Fail: resolver.ServFail}) }, "record-dns-failure"},
	{"no answer for the record", func(l *lab) { l.DNS.Set("_mta-sts."+domain, resolver.Records{Delay: time.Hour}) }, "record-dns-failure"},
	{"no domain", func(l *lab) { l.domain = "no domain" }, "domain-invalid"},
	{"an address literal", func(l *lab) { l.domain = "[192.0.2.1]" }, "address-literal"},
	{"a smart host", func(l *lab) { l.domain = "[Example.COM]:587" }, ""},
	{"no time", func(l *lab) {
		l.DNS.Set("_mta-sts."+domain, resolver.Records{Delay: time.Hour})
		l.opts.Limit = time.Second
	}, "diagnosis-incomplete record-dns-failure"},
}

var hostFaults = faults{
	{"no policy host", func(l *lab) {
		l.domain = "example.net"
		l.DNS.Set("_mta-sts.example.net", resolver.Records{TXT: []string{"v=STSv1; id=1;"}})
	}, "host-missing mx-none"},
	{"a host that refuses", func(l *lab) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Unreachable: true}) }, "host-unreachable"},
	{"a silent host", func(l *lab) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Delay: time.Hour}) }, "host-timeout"},
	{"an impostor", func(l *lab) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.WrongKey}) }, "host-tls-failed"},
	{"another certificate", func(l *lab) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.WrongName}) }, "host-certificate-name"},
	{"a common name", func(l *lab) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.CommonName}) }, "host-certificate-name"},
	{"an expired certificate", func(l *lab) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.Expired}) }, "host-certificate-expired"},
	{"an early certificate", func(l *lab) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.NotYetValid}) }, "host-certificate-untrusted"},
	{"an unknown root", func(l *lab) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.UnknownRoot}) }, "host-certificate-untrusted"},
	{"its own root", func(l *lab) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.SelfSigned}) }, "host-certificate-untrusted"},
	{"a redirect", func(l *lab) { l.answer(301, "Location", "https://www.example.com/") }, "answer-redirect"},
	{"not found", func(l *lab) { l.answer(404) }, "answer-not-found"},
	{"forbidden", func(l *lab) { l.answer(403) }, "answer-status"},
	{"a bot check", func(l *lab) { l.opts.Transport = botCheck{l.opts.Transport} }, "answer-bot-check"},
	{"another media type", func(l *lab) { l.answer(200, "Content-Type", "application/octet-stream") }, "answer-media-type"},
	{"no media type", func(l *lab) { l.answer(200, "Content-Type", "") }, "answer-media-type-missing"},
	{"another coding", func(l *lab) { l.answer(200, "Content-Encoding", "br") }, "answer-broken"},
	{"a large file", func(l *lab) { l.file(strings.Repeat("a: b\n", 20000)) }, "answer-too-large"},
	{"a cut answer", func(l *lab) { l.answer(200, "Content-Encoding", "gzip") }, "answer-broken"},
	{"an old copy", func(l *lab) { l.answer(200, "Age", "86400") }, "answer-stale"},
	{"a page", func(l *lab) {
		l.SetPolicyHost(domain, mtaststest.PolicyHost{Header: map[string][]string{"Content-Type": {"text/html; charset=utf-8"}}, Body: "<!DOCTYPE html>\n<title>Welcome</title>"})
	}, "answer-html"},
}

var fileFaults = faults{
	{"a page as text", func(l *lab) { l.file("<html>\nmode: welcome") }, "answer-html"},
	{"no version", func(l *lab) { l.file("mode: enforce\nmax_age: 604800\nmx: mx.example.com\n") }, "file-invalid"},
	{"another version", func(l *lab) { l.file("version: STSv2\nmode: enforce\nmax_age: 604800\nmx: mx.example.com\n") }, "file-invalid"},
	{"a capital mode", func(l *lab) { l.file("version: STSv1\nmode: Enforce\nmax_age: 604800\nmx: mx.example.com\n") }, "file-invalid"},
	{"a capital key", func(l *lab) { l.file("version: STSv1\nMode: enforce\nmax_age: 604800\nmx: mx.example.com\n") }, "file-invalid file-key-misspelt"},
	{"a unit", func(l *lab) { l.file("version: STSv1\nmode: enforce\nmax_age: 1 week\nmx: mx.example.com\n") }, "file-invalid"},
	{"a hyphen", func(l *lab) { l.file("version: STSv1\nmode: enforce\nmax-age: 604800\nmx: mx.example.com\n") }, "file-invalid file-key-misspelt"},
	{"no mx", func(l *lab) { l.policy(mtasts.ModeEnforce, month) }, "file-invalid"},
	{"an address", func(l *lab) { l.policy(mtasts.ModeEnforce, month, "192.0.2.1") }, "file-invalid mx-pattern-odd"},
	{"NUL", func(l *lab) { l.file("version: STSv1\x00\n") }, "file-invalid"},
	{"a comment", func(l *lab) { l.file("# ours\n" + mtaststest.Policy(mtasts.ModeEnforce, month, mxHost)) }, "file-line-ignored"},
	{"an unknown field", func(l *lab) { l.file(mtaststest.Policy(mtasts.ModeEnforce, month, mxHost) + "report: none\n") }, "file-line-ignored"},
	{"a repeated mode", func(l *lab) { l.file(mtaststest.Policy(mtasts.ModeEnforce, month, mxHost) + "mode: none\n") }, "file-repeated"},
	{"a list in a line", func(l *lab) { l.policy(mtasts.ModeEnforce, month, mxHost, "mx1.example.com, mx2.example.com") }, "mx-pattern-odd"},
	{"an asterisk inside", func(l *lab) { l.policy(mtasts.ModeEnforce, month, mxHost, "mx*.example.com") }, "mx-pattern-odd"},
	{"a U-label", func(l *lab) { l.policy(mtasts.ModeEnforce, month, mxHost, "m\u00fcller.example") }, "mx-pattern-odd"},
	{"max_age 0", func(l *lab) { l.policy(mtasts.ModeEnforce, 0, mxHost) }, "max-age-short"},
	{"an hour", func(l *lab) { l.policy(mtasts.ModeEnforce, time.Hour, mxHost) }, "max-age-short"},
	{"a day", func(l *lab) { l.policy(mtasts.ModeEnforce, 24*time.Hour, mxHost) }, "max-age-week"},
	{"a week", func(l *lab) { l.policy(mtasts.ModeEnforce, 7*24*time.Hour, mxHost) }, ""},
	{"ten years", func(l *lab) { l.policy(mtasts.ModeEnforce, 10*365*24*time.Hour, mxHost) }, ""},
	{"mode testing", func(l *lab) { l.policy(mtasts.ModeTesting, month, mxHost) }, "mode-testing"},
	{"mode none", func(l *lab) { l.file("version: STSv1\nmode: none\nmax_age: 86400\n") }, "mode-none"},
}
