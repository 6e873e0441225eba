package schematest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	s, err := compiler.Compile("report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

// written returns what a receiver unpacks.
func written(t *testing.T, r *tlsrpt.Report) []byte {
	t.Helper()
	data, err := r.Gzip()
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var addr = netip.MustParseAddr

func full() *tlsrpt.Report {
	start := time.Date(2026, time.November, 27, 0, 0, 0, 0, time.UTC)
	session := func(result mtasts.Result) tlsrpt.FailureDetail {
		return tlsrpt.FailureDetail{Result: result, SendingMTAIP: addr("::ffff:192.0.2.25"), ReceivingMX: "mx.example.com",
			ReceivingHELO: "mx.example.com", ReceivingIP: addr("2001:db8::25"), Count: 1,
			AdditionalInformation: "https://relay.example/why?id=1", Reason: "reason \xff\u2028\ufffe\x00"}
	}
	return &tlsrpt.Report{
		OrganizationName: "Relay & S\u00f6hne", ContactInfo: "tlsrpt@relay.example", ReportID: "a1",
		DateRange: tlsrpt.DateRange{Start: start, End: start.Add(24*time.Hour - 1)},
		Policies: []tlsrpt.PolicyReport{
			{Type: tlsrpt.TypeSTS, Domain: "xn--bcher-kva.example", MXHosts: []string{"*.example.com", "mx.example.com"}, Successes: 1 << 50, Failures: 8,
				Text: []string{"version: STSv1", "mode: testing", "mx: *.example.com", "mx: mx.example.com", "", "x: \x1b\xff\ufffe", "max_age: 86400"},
				Details: []tlsrpt.FailureDetail{
					session(mtasts.ResultSTARTTLSNotSupported), session(mtasts.ResultCertificateHostMismatch),
					session(mtasts.ResultCertificateExpired), session(mtasts.ResultCertificateNotTrusted),
					session(mtasts.ResultValidationFailure), {Result: mtasts.ResultPolicyFetchError, Count: 1},
					{Result: mtasts.ResultPolicyInvalid, Count: 1}, {Result: mtasts.ResultWebPKIInvalid, Count: 1},
				}},
			{Type: tlsrpt.TypeTLSA, Domain: "mx.example.com", Text: []string{"3 1 1 0C72AC70", "2 1 1 ABCD"}, Failures: 3,
				Details: []tlsrpt.FailureDetail{session(tlsrpt.ResultTLSAInvalid), session(tlsrpt.ResultDNSSECInvalid), session(tlsrpt.ResultDANERequired)}},
			{Type: tlsrpt.TypeNoPolicyFound, Domain: "example.org", Successes: 3},
		},
	}
}

func TestReportsFitTheSchema(t *testing.T) {
	s := schema(t)
	quiet := full()
	quiet.Policies = nil
	for name, r := range map[string]*tlsrpt.Report{"full": full(), "without policies": quiet} {
		if err := validate(t, s, written(t, r)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"rfc8460-appendix-b", "google-like", "microsoft-like"} {
		text, err := os.ReadFile("../testdata/report/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A schema that lets everything pass would prove nothing: it refuses what receivers have
// choked on, and the string that the RFC had for mx-host before its erratum.
func TestTheSchemaRefuses(t *testing.T) {
	s := schema(t)
	good := string(written(t, full()))
	for _, change := range []struct{ from, to string }{
		{`"contact-info":"tlsrpt@relay.example"`, `"contact-info":null`},
		{`"contact-info":"tlsrpt@relay.example",`, ``},
		{`"report-id":"a1"`, `"report-id":1`},
		{`2026-11-27T00:00:00Z`, `2026-11-27T00:00:00`},
		{`2026-11-27T00:00:00Z`, `2026-11-27T01:00:00+01:00`},
		{`2026-11-27T23:59:59Z`, `2026-11-31T23:59:59Z`},
		{`,"policy-domain":"example.org"`, ``},
		{`"xn--bcher-kva.example"`, `"b\u00fccher.example"`},
		{`"mx-host":["*.example.com","mx.example.com"]`, `"mx-host":"*.example.com"`},
		{`"policy-type":"no-policy-found"`, `"policy-type":"none"`},
		{`"policy-string":["3 1 1 0C72AC70"`, `"policy-string":["3 1 1 (0C72 AC70)"`},
		{`"sending-mta-ip":"::",`, ``},
		{`"sending-mta-ip":"::"`, `"sending-mta-ip":""`},
		{`"receiving-ip":"2001:db8::25"`, `"receiving-ip":"mx.example.com"`},
		{`"failed-session-count":1`, `"failed-session-count":"1"`},
		{`"failed-session-count":1`, `"failed-session-count":0`},
		{`"sts-policy-fetch-error"`, `"sts-policy-fetch"`},
		{`"failure-reason-code"`, `"failure-error-code"`},
		{`"total-failure-session-count":0`, `"total-failure-session-count":-1`},
	} {
		bad := strings.Replace(good, change.from, change.to, 1)
		if bad == good || !json.Valid([]byte(bad)) {
			t.Fatalf("%s does not stand in the report, or nothing would be left of it", change.from)
		}
		if err := validate(t, s, []byte(bad)); err == nil {
			t.Errorf("accepted with %s", change.to)
		}
	}
}
