package tlsrpt_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/mail"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
)

// readMail takes a report out of a message as RFC 8460, Section 5.3 describes it, and
// checks whatever holds for each.
func readMail(t *testing.T, message []byte) (header mail.Header, r readReport) {
	t.Helper()
	for line := range bytes.Lines(message) {
		// RFC 5322, Section 2.1.1: at most 998 octets, and no CR or LF alone.
		line, ended := bytes.CutSuffix(line, []byte("\r\n"))
		if !ended || len(line) > 998 || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("line %.1100q", line)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	fields := slices.Sorted(maps.Keys(m.Header))
	if want := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject",
		"Tls-Report-Domain", "Tls-Report-Submitter", "Tls-Required", "To"}; !slices.Equal(fields, want) {
		t.Errorf("header fields: got %q", fields)
	}
	for name, values := range m.Header {
		if len(values) != 1 {
			t.Errorf("%s stands %d times", name, len(values))
		}
	}
	for _, name := range []string{"From", "To"} {
		if list, err := m.Header.AddressList(name); err != nil || len(list) != 1 {
			t.Errorf("%s: got %v, %v", name, list, err)
		}
	}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || media != "multipart/report" || params["report-type"] != "tlsrpt" {
		t.Errorf("media type: got %s %v, %v", media, params, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	text, err := parts.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	if media, _, err := mime.ParseMediaType(text.Header.Get("Content-Type")); err != nil || media != "text/plain" {
		t.Errorf("part for people: got %s, %v", media, err)
	}
	data, err := parts.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	media, params, err = mime.ParseMediaType(data.Header.Get("Content-Type"))
	if err != nil || media != "application/tlsrpt+gzip" || params["name"] != data.FileName() || !filename.MatchString(data.FileName()) {
		t.Errorf("part for machines: got %s, name %q, filename %q, %v", media, params["name"], data.FileName(), err)
	}
	if encoding := data.Header.Get("Content-Transfer-Encoding"); encoding != "base64" {
		t.Errorf("encoding %q", encoding)
	}
	encoded, err := io.ReadAll(data)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(encoded) {
		if len(line) > len("\r\n")+76 { // RFC 2045, Section 6.8
			t.Errorf("a line of %d octets in base64", len(line))
		}
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(encoded), "\r\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the second part: %v", err)
	}
	return m.Header, read(t, gunzip(t, decoded))
}

func TestMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		report := rfcExample()
		message, err := report.Mail("noreply@mta.company-x.example", "reports@company-y.example", "Company-Y.example.")
		if err != nil {
			t.Fatal(err)
		}
		header, got := readMail(t, message)
		if want := meaning(report); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v", got)
		}
		for name, want := range map[string]string{
			"From":                 "<noreply@mta.company-x.example>",
			"To":                   "<reports@company-y.example>",
			"TLS-Report-Domain":    "company-y.example",
			"TLS-Report-Submitter": "company-x.example", // of the contact-info
			"TLS-Required":         "No",
			"Auto-Submitted":       "auto-generated",
			"MIME-Version":         "1.0",
			"Subject": "Report Domain: company-y.example Submitter: company-x.example" +
				" Report-ID: <5065427c-23d3-47ca-b6e0-946ea0e8c4be@company-x.example>",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if date, err := header.Date(); err != nil || !date.Equal(time.Now()) {
			t.Errorf("date %v, %v", date, err)
		}
		for _, text := range []string{"5326 sessions succeeded, 303 failed.",
			`filename="company-x.example!company-y.example!1459468800!1459555199!5065427c23d347cab6e0946ea0e8c4be.json.gz"`} {
			if !strings.Contains(string(message), text) {
				t.Errorf("no %q in\n%s", text, message)
			}
		}
		time.Sleep(time.Hour)
		again, _ := report.Mail("noreply@mta.company-x.example", "reports@company-y.example", "company-y.example")
		other, _ := report.Mail("noreply@mta.company-x.example", "reports@company-z.example", "company-y.example")
		if id := messageID(message); len(id) != len("<@company-x.example>")+32 || messageID(again) != id || messageID(other) == id {
			t.Errorf("Message-IDs %s, when tried again %s, to another %s", id, messageID(again), messageID(other))
		}
	})
}

func messageID(message []byte) string {
	m, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return err.Error()
	}
	return m.Header.Get("Message-ID")
}

// Whatever a record's URI, a caller or a configuration holds, no field is added.
func TestMailRefusesWhatCouldAddAField(t *testing.T) {
	for _, bad := range []string{"", "a", "@b.example", "a@", "a@b.example\r\nBcc: c@d.example", "a\r\nBcc:c@d.example", "a@b.example\n", "\ta@b.example",
		"a@b.example, c@d.example", "A <a@b.example>", "<a@b.example>", `"a"@b.example`, "\u00e4@b.example", "a@\u00e4.example", "a@B.example",
		"a@b.example.", "a b@c.example", strings.Repeat("a", 65) + "@b.example", "a@[192.0.2.1]", "a@b@c.example", "a\x00@b.example"} {
		for i := range 3 {
			report := rfcExample()
			args := []string{"a@a.example", "b@b.example", "c@c.example"}
			args[i] = bad
			report.ContactInfo = args[2]
			if message, err := report.Mail(args[0], args[1], "d.example"); err == nil {
				t.Errorf("with %q:\n%.300s", args, message)
			} else {
				checkText(t, err.Error())
			}
		}
		report := rfcExample()
		if report.ReportID = bad; bad != "a" {
			if message, err := report.Mail("a@a.example", "b@b.example", "d.example"); err == nil {
				t.Errorf("with id %q:\n%.300s", bad, message)
			}
		}
		if _, err := rfcExample().Mail("a@a.example", "b@b.example", bad); bad != "a" && err == nil {
			t.Errorf("with domain %q: no error", bad)
		}
	}
}

func TestMailOfTheLongestNames(t *testing.T) {
	domain := strings.Repeat(strings.Repeat("a", 61)+".", 3) + strings.Repeat("b", 63)
	report := rfcExample()
	report.ContactInfo, report.ReportID = "a@"+domain[:189], strings.Repeat("i", 64)
	if message, err := report.Mail("f@"+domain[:189], "t@"+domain[:189], domain); err == nil {
		readMail(t, message)
	} else {
		t.Error(err)
	}
}

func FuzzMail(f *testing.F) {
	for i, texts := range fuzzTexts {
		f.Add(texts, "a@b.example", "c@d.example", "e@f.example", "g.example", "id", uint64(i), uint8(i*37))
	}
	f.Add("", "a@b.example\r\nBcc: x@y.example", "c@d.example%0D%0A", "e@f.example", "\u00fc.example", "1.2-3", uint64(1), uint8(1))
	var uri = regexp.MustCompile(`[^A-Za-z0-9:/?&=%@._~+$'()*#-]`)
	f.Fuzz(func(t *testing.T, texts, from, to, contact, domain, id string, n uint64, details uint8) {
		if len(texts) > 4<<10 {
			return // it would take all the time
		}
		report := fuzzed(texts, int64(n%100000)*86400, 86399e9, nil, nil, n, details)
		report.ContactInfo, report.ReportID = contact, id
		if message, err := report.Mail(from, to, domain); err == nil {
			if _, got := readMail(t, message); !reflect.DeepEqual(got, meaning(report)) {
				t.Errorf("got %#v", got)
			}
		} else {
			checkText(t, err.Error())
		}
		// Any address that a record gives can be mailed to.
		record, err := tlsrpt.FindRecord([]string{"v=TLSRPTv1; rua=mailto:" + uri.ReplaceAllString(to, "%2B")})
		if err != nil || record.RUA[0].Address == "" {
			return
		}
		message, err := googleLike().Mail("a@b.example", record.RUA[0].Address, "c.example")
		if err != nil {
			t.Fatalf("to %q: %v", record.RUA[0].Address, err)
		}
		if header, _ := readMail(t, message); header.Get("To") != "<"+record.RUA[0].Address+">" {
			t.Errorf("to %q: got %q", record.RUA[0].Address, header.Get("To"))
		}
	})
}
