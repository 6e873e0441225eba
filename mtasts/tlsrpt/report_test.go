package tlsrpt_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
)

func day(year int, month time.Month, d int) tlsrpt.DateRange {
	start := time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
	return tlsrpt.DateRange{Start: start, End: start.Add(24*time.Hour - time.Second)}
}

var ip = netip.MustParseAddr

// RFC 8460, Appendix B, but for two mistakes there: mx-host is an array (erratum 6241), and
// the URI has no white space.
func rfcExample() *tlsrpt.Report {
	return &tlsrpt.Report{OrganizationName: "Company-X", DateRange: day(2016, time.April, 1),
		ContactInfo: "sts-reporting@company-x.example", ReportID: "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
		Policies: []tlsrpt.PolicyReport{{Type: tlsrpt.TypeSTS, Domain: "company-y.example",
			Text:    []string{"version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"},
			MXHosts: []string{"*.mail.company-y.example"}, Successes: 5326, Failures: 303,
			Details: []tlsrpt.FailureDetail{
				{Result: mtasts.ResultCertificateExpired, SendingMTAIP: ip("2001:db8:abcd:12::1"), ReceivingMX: "mx1.mail.company-y.example", Count: 100},
				{Result: mtasts.ResultSTARTTLSNotSupported, SendingMTAIP: ip("2001:db8:abcd:13::1"), ReceivingMX: "mx2.mail.company-y.example",
					ReceivingIP: ip("203.0.113.56"), Count: 200,
					AdditionalInformation: "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"},
				{Result: mtasts.ResultValidationFailure, SendingMTAIP: ip("198.51.100.62"), ReceivingIP: ip("203.0.113.58"),
					ReceivingMX: "mx-backup.mail.company-y.example", Count: 3, Reason: "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"},
			}}}}
}

func googleLike() *tlsrpt.Report {
	return &tlsrpt.Report{OrganizationName: "Example Relay", DateRange: day(2026, time.November, 27),
		ContactInfo: "tlsrpt@relay.example", ReportID: "20261127a1b2c3",
		Policies: []tlsrpt.PolicyReport{
			{Type: tlsrpt.TypeSTS, Domain: "gmail.example", Successes: 17,
				Text: []string{"version: STSv1", "mode: enforce", "mx: gmail-smtp-in.l.google.example",
					"mx: *.gmail-smtp-in.l.google.example", "max_age: 86400"},
				MXHosts: []string{"gmail-smtp-in.l.google.example", "*.gmail-smtp-in.l.google.example"}},
			{Type: tlsrpt.TypeNoPolicyFound, Domain: "gmail.example", Successes: 3},
		}}
}

func microsoftLike() *tlsrpt.Report {
	return &tlsrpt.Report{OrganizationName: "Example Relay", DateRange: day(2026, time.November, 27),
		ContactInfo: "tlsrpt@relay.example", ReportID: "20261127a1b2c3",
		Policies: []tlsrpt.PolicyReport{
			{Type: tlsrpt.TypeTLSA, Domain: "mail.protection.example", Successes: 4, Failures: 2,
				Text: []string{"3 1 1 0C72AC70B745AC19998811B131D662C9AC69DBDBE7CB23E5B514B56664C5D3D6"},
				Details: []tlsrpt.FailureDetail{{Result: tlsrpt.ResultTLSAInvalid, SendingMTAIP: ip("::ffff:192.0.2.25"),
					ReceivingMX: "mail.protection.example", ReceivingIP: ip("198.51.100.7"), Count: 2}}},
			{Type: tlsrpt.TypeSTS, Domain: "hotmail.example", Successes: 4, Failures: 3,
				Text:    []string{"version: STSv1", "mode: enforce", "mx: *.protection.example", "max_age: 604800"},
				MXHosts: []string{"*.protection.example"},
				Details: []tlsrpt.FailureDetail{{Result: mtasts.ResultPolicyFetchError, Count: 3, Reason: "policy host timed out"}}},
		}}
}

func TestReportsReadAsTheirExamples(t *testing.T) {
	for file, r := range map[string]*tlsrpt.Report{
		"rfc8460-appendix-b": rfcExample(), "google-like": googleLike(), "microsoft-like": microsoftLike(),
	} {
		want, err := os.ReadFile("testdata/report/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "-like") && string(got)+"\n" != string(want) {
			t.Errorf("%s: got\n%s", file, got)
		}
		if a, b := read(t, got), read(t, want); !reflect.DeepEqual(a, b) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", file, a, b)
		}
	}
}

func read(t *testing.T, text []byte) readReport {
	t.Helper()
	r, err := readJSON(text)
	if err != nil {
		t.Fatalf("%v in\n%.2000s", err, text)
	}
	return r
}

// Receivers choked on a top-level field that was null or missing, on a time without a
// zone, and on a missing policy-domain or sending-mta-ip.
func TestAnEmptyReportHasWhatEveryReceiverWants(t *testing.T) {
	for _, r := range []any{tlsrpt.Report{}, &tlsrpt.Report{}} {
		text, err := json.Marshal(r)
		const want = `{"organization-name":"","date-range":{"start-datetime":"0001-01-01T00:00:00Z","end-datetime":"0001-01-01T00:00:00Z"},"contact-info":"","report-id":"","policies":[]}`
		if err != nil || string(text) != want {
			t.Errorf("got %s, %v", text, err)
		}
	}
	text, err := json.Marshal(tlsrpt.Report{Policies: []tlsrpt.PolicyReport{{Details: []tlsrpt.FailureDetail{{}}}}})
	const want = `"policies":[{"policy":{"policy-type":"","policy-domain":""},"summary":{"total-successful-session-count":0,"total-failure-session-count":0},"failure-details":[{"result-type":"","sending-mta-ip":"::","failed-session-count":0}]}]}`
	if err != nil || !strings.HasSuffix(string(text), want) {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestTimesAreWholeSecondsOfUTC(t *testing.T) {
	r := tlsrpt.Report{DateRange: tlsrpt.DateRange{
		Start: time.Date(2026, 11, 27, 1, 0, 0, 0, time.FixedZone("", 3600)),
		End:   time.Date(2026, 11, 27, 23, 59, 59, 999999999, time.UTC)}}
	text, err := json.Marshal(r)
	if want := `{"start-datetime":"2026-11-27T00:00:00Z","end-datetime":"2026-11-27T23:59:59Z"}`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("got %s, %v", text, err)
	}
	r.DateRange.End = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if text, err := r.Gzip(); err == nil {
		t.Errorf("the year 10000: got %q", text)
	}
}

// RFC 8460, Section 5.1: the example, and the grammar.
func TestFilename(t *testing.T) {
	r := &tlsrpt.Report{ReportID: "0.0-1@", DateRange: tlsrpt.DateRange{Start: time.Unix(1470013207, 0), End: time.Unix(1470186007, 0)}}
	if got := r.Filename("mail.sndr.example.com", "example.net"); got != "mail.sndr.example.com!example.net!1470013207!1470186007!001.json.gz" {
		t.Errorf("got %s", got)
	}
	for _, id := range []string{"", "-", "\u00e4\xff/../", "a!b\r\n"} {
		r.ReportID = id
		if got := r.Filename("a.example", "b.example"); !filename.MatchString(got) {
			t.Errorf("id %q: got %q", id, got)
		}
	}
}

var filename = regexp.MustCompile(`\A[a-z0-9_.-]+![a-z0-9_.-]+![0-9]+![0-9]+![A-Za-z0-9]+\.json\.gz\z`)

func gunzip(t *testing.T, data []byte) []byte {
	t.Helper()
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

// meaning is what a reader should make of a report.
func meaning(r *tlsrpt.Report) readReport {
	out := readReport{Organization: characters(r.OrganizationName), Contact: characters(r.ContactInfo), ID: characters(r.ReportID),
		Start: time.Unix(r.DateRange.Start.Unix(), 0).UTC(), End: time.Unix(r.DateRange.End.Unix(), 0).UTC()}
	for _, p := range r.Policies {
		q := readPolicy{Type: characters(string(p.Type)), Domain: characters(p.Domain), Text: all(p.Text), MXHosts: all(p.MXHosts),
			Successes: p.Successes, Failures: p.Failures}
		for _, d := range p.Details {
			e := readDetail{Result: characters(string(d.Result)), MX: characters(d.ReceivingMX), HELO: characters(d.ReceivingHELO),
				Information: characters(d.AdditionalInformation), Reason: characters(d.Reason), Count: d.Count,
				SendingIP: d.SendingMTAIP.Unmap().WithZone(""), ReceivingIP: d.ReceivingIP.Unmap().WithZone("")}
			if !d.SendingMTAIP.IsValid() {
				e.SendingIP = netip.IPv6Unspecified()
			}
			q.Details = append(q.Details, e)
		}
		out.Policies = append(out.Policies, q)
	}
	return out
}

func all(lines []string) (out []string) {
	for _, line := range lines {
		out = append(out, characters(line))
	}
	return out
}

var nonCharacter = regexp.MustCompile(`[\x{fdd0}-\x{fdef}\x{fffe}\x{ffff}\x{1fffe}\x{1ffff}\x{2fffe}\x{2ffff}\x{3fffe}\x{3ffff}` +
	`\x{4fffe}\x{4ffff}\x{5fffe}\x{5ffff}\x{6fffe}\x{6ffff}\x{7fffe}\x{7ffff}\x{8fffe}\x{8ffff}\x{9fffe}\x{9ffff}\x{afffe}\x{affff}` +
	`\x{bfffe}\x{bffff}\x{cfffe}\x{cffff}\x{dfffe}\x{dffff}\x{efffe}\x{effff}\x{ffffe}\x{fffff}\x{10fffe}\x{10ffff}]`)

func characters(s string) string {
	return nonCharacter.ReplaceAllString(string([]rune(s)), "\ufffd")
}

// fuzzed makes a report of what a fuzz target is given: texts are lines.
func fuzzed(texts string, start, length int64, a, b []byte, n uint64, details uint8) *tlsrpt.Report {
	lines := strings.Split(texts, "\n")
	next := 0
	text := func() string {
		next++
		return lines[next%len(lines)]
	}
	from, _ := netip.AddrFromSlice(a)
	to, _ := netip.AddrFromSlice(b)
	if len(b) > 3 && to.Is6() {
		to = to.WithZone(texts)
	}
	r := &tlsrpt.Report{OrganizationName: text(), ContactInfo: text(), ReportID: text(),
		DateRange: tlsrpt.DateRange{Start: time.Unix(start, length), End: time.Unix(start, 0).Add(time.Duration(length))}}
	for details := int(details % 32); details > 0; details /= 2 {
		p := tlsrpt.PolicyReport{Type: tlsrpt.PolicyType(text()), Domain: text(), Text: lines, Successes: n, Failures: n / 2, MXHosts: lines[1:]}
		for range details % 8 {
			p.Details = append(p.Details, tlsrpt.FailureDetail{Result: mtasts.Result(text()), ReceivingMX: text(), ReceivingHELO: text(),
				SendingMTAIP: from, ReceivingIP: to, Count: n, AdditionalInformation: text(), Reason: text()})
		}
		r.Policies = append(r.Policies, p)
	}
	return r
}

var fuzzTexts = []string{
	"a\nb@example.com\nid", "", "\n\n\n", "version: STSv1\r\nmode: \x00\x1b[31m\x7f\nmx: \xff\xfe\n\u2028\u2029</script>&\"\\\n\ufffe\U0010ffff\ufdd0",
	"\ud7ff\n\xed\xa0\x80\n" + strings.Repeat("\u00e4", 600) + "\n" + strings.Repeat("x", 1023) + "\U0001f600",
}

func FuzzReport(f *testing.F) {
	for i, texts := range fuzzTexts {
		f.Add(texts, int64(1795737600), int64(86399e9), []byte{192, 0, 2, 1}, ip("fe80::1").AsSlice(), uint64(1)<<(i*16), uint8(i*37))
	}
	f.Fuzz(func(t *testing.T, texts string, start, length int64, a, b []byte, n uint64, details uint8) {
		if len(texts) > 4<<10 {
			return // it would take all the time
		}
		r := fuzzed(texts, start, length, a, b, n, details)
		data, err := r.Gzip()
		first, last := r.DateRange.Start.UTC().Year(), r.DateRange.End.UTC().Year()
		if valid := min(first, last) >= 0 && max(first, last) <= 9999; valid != (err == nil) {
			t.Fatalf("years %d to %d: %v", first, last, err)
		}
		if err != nil {
			return
		}
		if got, want := read(t, gunzip(t, data)), meaning(r); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %#v\nwant %#v", got, want)
		}
	})
}
