package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// A parsedBounce is a notification as a mail program reads it.
type parsedBounce struct {
	header    mail.Header
	text      string
	message   textproto.MIMEHeader   // per-message fields
	recipient []textproto.MIMEHeader // per-recipient fields
	original  []byte
}

// parseBounce parses b's message. It fails the test if a line is too long, or is no ASCII, or the parts
// are not those of RFC 3464, Section 2.
func parseBounce(t *testing.T, b *bounce) parsedBounce {
	t.Helper()
	raw, err := b.message()
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(raw) {
		if !bytes.HasSuffix(line, []byte("\r\n")) || bytes.ContainsAny(line[:len(line)-2], "\r\n") {
			t.Errorf("%.80q does not end in CRLF", line)
		}
		if len(line) > 1000 {
			t.Errorf("a line has %d octets: %.80q", len(line), line)
		}
		if i := bytes.IndexFunc(line[:len(line)-2], func(r rune) bool { return r > '~' || r < ' ' && r != '\t' }); i >= 0 {
			t.Errorf("%.80q has something else than printable ASCII", line)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("media type %q %v: %v", kind, params, err)
	}
	p := parsedBounce{header: m.Header}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for _, want := range []string{"text/plain", "message/delivery-status", "text/rfc822-headers"} {
		part, err := parts.NextPart() // which decodes quoted-printable
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if kind, _, err = mime.ParseMediaType(part.Header.Get("Content-Type")); kind != want || err != nil {
			t.Errorf("part of type %q, want %q: %v", kind, want, err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		switch want {
		case "text/plain":
			p.text = strings.ReplaceAll(string(body), "\r\n", "\n")
		case "message/delivery-status":
			for i, block := range strings.Split(string(body), "\r\n\r\n") {
				fields, err := textproto.NewReader(bufio.NewReader(strings.NewReader(strings.TrimRight(block, "\r\n") + "\r\n\r\n"))).ReadMIMEHeader()
				if err != nil {
					t.Errorf("fields of delivery-status: %v in %q", err, block)
				}
				if i == 0 {
					p.message = fields
				} else {
					p.recipient = append(p.recipient, fields)
				}
			}
		case "text/rfc822-headers":
			p.original = body
		}
	}
	if part, err := parts.NextPart(); err != io.EOF {
		t.Errorf("a fourth part: %v, %v", part, err)
	}
	return p
}

// held returns what a delivery to mx gives that a policy of mode enforce holds back.
func held(t *testing.T, mx string, noTLS error) (*mtasts.Policy, error) {
	t.Helper()
	policy := &mtasts.Policy{Domain: "example.com", Mode: mtasts.ModeEnforce, MX: []string{"mx.example.com"}, ID: "2026",
		Fetched: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Expires: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC),
		Text: "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmax_age: 604800\r\n"}
	host, err := policy.CheckMX(mx)
	if err == nil {
		err = host.AllowFallback(noTLS)
	}
	if err == nil {
		t.Fatal("the policy allows it")
	}
	return policy, err
}

// newBounce returns a bounce about f.
func newBounce(f ...failure) *bounce {
	return &bounce{Hostname: "relay.example", To: "sender@sender.example", Failed: f,
		Arrived: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		Text:    strings.NewReader("From: sender@sender.example\r\nSubject: hello\r\n\r\nGood morning.\r\n")}
}

func TestABounceSaysWhichPolicyHeldTheMessageAndWhy(t *testing.T) {
	policy, err := held(t, "mx.example.com", mtasts.ErrNoSTARTTLS)
	p := parseBounce(t, newBounce(failure{Address: "user@example.com", Err: err, Policy: policy, Expired: true}))
	want := textproto.MIMEHeader{
		"Final-Recipient": {"rfc822; user@example.com"},
		"Action":          {"failed"},
		"Status":          {"5.7.5"},
		"Remote-Mta":      {"dns; mx.example.com"},
		"Diagnostic-Code": {"x-mtasts-relay; " + err.Error()},
	}
	if len(p.recipient) != 1 || !reflect.DeepEqual(p.recipient[0], want) {
		t.Errorf("recipients %v, want %v", p.recipient, want)
	}
	want = textproto.MIMEHeader{"Reporting-Mta": {"dns; relay.example"}, "Arrival-Date": {"Sat, 21 Nov 2026 12:00:00 +0000"}}
	if !reflect.DeepEqual(p.message, want) {
		t.Errorf("fields of the message %v, want %v", p.message, want)
	}
	for _, want := range []string{
		"To: user@example.com\nStatus: 5.7.5\nReason: " + err.Error(),
		"The relay has tried for as long as it keeps a message.",
		"The domain example.com has a policy (MTA-STS, RFC 8461)",
		"the server mx.example.com: make it offer STARTTLS.",
		"of mode enforce, with id 2026, fetched Fri, 20 Nov 2026 00:00:00 +0000, valid until Fri, 27 Nov 2026 00:00:00 +0000",
		"https://mta-sts.example.com/.well-known/mta-sts.txt:",
	} {
		if !strings.Contains(unfolded(p.text), unfolded(want)) {
			t.Errorf("the text does not have %q:\n%s", want, p.text)
		}
	}
	if want := "\n    version: STSv1\n    mode: enforce\n    mx: mx.example.com\n    max_age: 604800\n"; !strings.HasSuffix(p.text, want) {
		t.Errorf("the text does not end with the policy:\n%s", p.text)
	}
	if want := "From: sender@sender.example\r\nSubject: hello\r\n"; string(p.original) != want {
		t.Errorf("quoted header %q, want %q", p.original, want)
	}
}

func TestTheHeaderOfABounceIsThatOfAnAutomaticReply(t *testing.T) {
	p := parseBounce(t, newBounce(failure{Address: "user@example.com", Err: errors.New("no")}))
	for name, want := range map[string]string{
		"From":           "Mail Delivery System <MAILER-DAEMON@relay.example>",
		"To":             "<sender@sender.example>",
		"Auto-Submitted": "auto-replied",
		"Mime-Version":   "1.0",
	} {
		if got := p.header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if sent, err := p.header.Date(); err != nil || time.Since(sent) > time.Minute {
		t.Errorf("Date: %s, %v", p.header.Get("Date"), err)
	}
	if id := p.header.Get("Message-ID"); !strings.HasSuffix(id, "@relay.example>") || len(id) < 30 {
		t.Errorf("Message-ID: %s", id)
	}
}

// The status is of class 5 whatever the last error was: the message has failed.
func TestTheStatusOfABounce(t *testing.T) {
	reply := func(code int, text string) error {
		return fmt.Errorf("mx.example.com: RCPT: %w", &textproto.Error{Code: code, Msg: text})
	}
	policy, noTLS := held(t, "mx.example.com", mtasts.ErrNoSTARTTLS)
	_, notListed := held(t, "mx.attacker.example", nil)
	for _, c := range []struct {
		name               string
		err                error
		expired            bool
		status, diagnostic string
		remote             string
	}{
		{"a rejection with an enhanced code", reply(550, "5.1.1 no such user"), false, "5.1.1", "smtp; 550 5.1.1 no such user", "dns; mx.example.com"},
		{"a rejection without one", reply(550, "no such user"), false, "5.0.0", "smtp; 550 no such user", "dns; mx.example.com"},
		{"a rejection with a malformed one", reply(550, "5.1.1000 no"), false, "5.0.0", "smtp; 550 5.1.1000 no", "dns; mx.example.com"},
		{"of several lines", reply(550, "5.7.1 no\n5.7.1 never"), false, "5.7.1", "smtp; 550 5.7.1 no; 5.7.1 never", "dns; mx.example.com"},
		{"a deferral until the end", reply(450, "4.2.2 full"), true, "5.2.2", "smtp; 450 4.2.2 full", "dns; mx.example.com"},
		{"a deferral without an enhanced code", reply(450, "full"), true, "5.4.7", "smtp; 450 full", "dns; mx.example.com"},
		{"success does not fail", reply(550, "2.0.0 fine"), false, "5.0.0", "smtp; 550 2.0.0 fine", "dns; mx.example.com"},
		{"no connection until the end", errors.New("dial: no route"), true, "5.4.7", "x-mtasts-relay; dial: no route", ""},
		{"a policy without STARTTLS", noTLS, true, "5.7.5", "x-mtasts-relay; " + noTLS.Error(), "dns; mx.example.com"},
		{"a policy before a reply of another host", errors.Join(reply(450, "4.2.2 full"), noTLS), true, "5.7.5", "", "dns; mx.example.com"},
		{"a store that has failed", &mtasts.Error{Reason: mtasts.ReasonStoreUnreadable}, true, "5.4.7", "", ""},
		{"an MX host that is not listed", notListed, true, "5.4.8", "x-mtasts-relay; " + notListed.Error(), ""},
		{"no answer of the DNS", &mtasts.Error{Reason: mtasts.ReasonDNSFailure}, true, "5.4.7", "", ""},
		{"a malformed domain", &mtasts.Error{Reason: mtasts.ReasonInvalidDomain, Err: mtasts.ErrInvalidDomain}, false, "5.1.2", "", ""},
	} {
		f := failure{Address: "user@example.com", Err: c.err, Policy: policy, Expired: c.expired}
		if _, ok := errors.AsType[*textproto.Error](c.err); ok {
			f.MX = "mx.example.com"
		}
		got := parseBounce(t, newBounce(f)).recipient[0]
		if got.Get("Status") != c.status || got.Get("Remote-MTA") != c.remote {
			t.Errorf("%s: status %q of %q, want %q of %q", c.name, got.Get("Status"), got.Get("Remote-MTA"), c.status, c.remote)
		}
		if c.diagnostic != "" && got.Get("Diagnostic-Code") != c.diagnostic {
			t.Errorf("%s: Diagnostic-Code: %s, want %s", c.name, got.Get("Diagnostic-Code"), c.diagnostic)
		}
	}
}

// Only a violation of a policy is explained with the policy.
func TestABounceWithoutAPolicyViolationDoesNotBlameThePolicy(t *testing.T) {
	policy, violation := held(t, "mx.example.com", mtasts.ErrNoSTARTTLS)
	testing := *policy
	testing.Mode = mtasts.ModeTesting
	for _, f := range []failure{
		{Policy: policy, Err: &textproto.Error{Code: 550, Msg: "5.1.1 no such user"}},
		{Policy: policy, Err: &mtasts.Error{Domain: "example.com", Reason: mtasts.ReasonDNSFailure, Temporary: true}},
		{Policy: &testing, Err: violation}, // which has changed since
		{Policy: nil, Err: violation},
	} {
		f.Address = "user@example.com"
		p := parseBounce(t, newBounce(f))
		if strings.Contains(p.text, "MTA-STS") || strings.Contains(p.text, "STSv1") {
			t.Errorf("%v: the text blames the policy:\n%s", f.Err, p.text)
		}
	}
}

func TestABounceHasEachRecipient(t *testing.T) {
	p := parseBounce(t, newBounce(
		failure{Address: "one@example.com", Err: &textproto.Error{Code: 550, Msg: "5.1.1 no"}},
		failure{Address: "two@example.com", Err: &textproto.Error{Code: 552, Msg: "5.2.2 full"}}))
	if len(p.recipient) != 2 || p.recipient[0].Get("Status") != "5.1.1" || p.recipient[1].Get("Status") != "5.2.2" ||
		!strings.Contains(p.text, "To: one@example.com\nStatus: 5.1.1\n") || !strings.Contains(p.text, "To: two@example.com\nStatus: 5.2.2\n") {
		t.Errorf("recipients %v:\n%s", p.recipient, p.text)
	}
}

// What the sender, the host and the publisher wrote stays where it belongs. parseBounce checks the lines.
func TestHostileTextInABounce(t *testing.T) {
	const evil = "x\r\nBcc: evil@evil.example\r\n\r\n--b\x00\x1b[2J\u202e\xff\n\nStatus: 2.0.0\n"
	for _, hostile := range []string{evil, strings.Repeat(evil, 1000), strings.Repeat("a", 100_000), strings.Repeat("\xff", 100_000)} {
		policy, err := held(t, "mx.example.com", fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, errors.New(hostile)))
		policy.Text = hostile
		b := newBounce(failure{Address: hostile + "@example.com", Err: err, Policy: policy, Expired: true},
			failure{Address: "b@example.com", MX: hostile, Err: &textproto.Error{Code: 550, Msg: "5.1.1 " + hostile}},
			failure{Address: "c@example.com", Err: &mtasts.Error{Domain: "example.com", MX: hostile}, Policy: policy})
		b.To, b.Text = hostile+"@sender.example", strings.NewReader("Subject: "+hostile)
		p := parseBounce(t, b)
		if len(p.header) != 8 || p.header.Get("Bcc") != "" {
			t.Errorf("header %v", p.header)
		}
		if len(p.recipient) != 3 || p.recipient[0].Get("Status") != "5.7.5" || p.recipient[1].Get("Status") != "5.1.1" {
			t.Errorf("recipients %v", p.recipient)
		}
		if len(p.text) > 16_000 || len(p.original) > maxQuotedHeader {
			t.Errorf("the text has %d octets, the quoted header %d", len(p.text), len(p.original))
		}
	}
}

func TestTheQuotedHeaderOfABounce(t *testing.T) {
	long := strings.Repeat("X-Long: "+strings.Repeat("a", 90)+"\r\n", 1000)
	for _, c := range []struct{ name, header, want string }{
		{"CRLF", "A: 1\r\nB: 2\r\n\r\nbody\r\n\r\n", "A: 1\r\nB: 2\r\n"},
		{"LF", "A: 1\nB: 2\n\nbody\n", "A: 1\r\nB: 2\r\n"},
		{"long body", "A: 1\r\nB: 2\r\n\r\n" + strings.Repeat("body\r\n", 10_000), "A: 1\r\nB: 2\r\n"},
		{"no body", "A: 1\r\n", "A: 1\r\n"},
		{"8-bit", "Subject: gr\u00fc\u00dfe = \xfc\r\n\r\n", "Subject: gr\u00fc\u00dfe = \xfc\r\n"},
		{"no header", "\r\nbody\r\n", ""},
		{"nothing", "", ""},
	} {
		b := newBounce(failure{Address: "user@example.com", Err: errors.New("no")})
		b.Text = strings.NewReader(c.header)
		if got := parseBounce(t, b).original; string(got) != c.want {
			t.Errorf("%s: quoted %q, want %q", c.name, got, c.want)
		}
	}
	b := newBounce(failure{Address: "user@example.com", Err: errors.New("no")})
	b.Text = strings.NewReader(long)
	if got := string(parseBounce(t, b).original); len(got) > maxQuotedHeader || len(got) < maxQuotedHeader-100 || !strings.HasPrefix(long, got) {
		t.Errorf("quoted %d octets of a long header, which end in %q", len(got), got[max(0, len(got)-10):])
	}
}

// unfolded returns text with single blanks for lines and indents.
func unfolded(text string) string { return strings.Join(strings.Fields(text), " ") }

// What the operator must do depends on what is wrong.
func TestTheCureInABounce(t *testing.T) {
	for _, c := range []struct {
		err  mtasts.Error
		cure string
	}{
		{mtasts.Error{Result: mtasts.ResultSTARTTLSNotSupported}, "make it offer STARTTLS."},
		{mtasts.Error{Result: mtasts.ResultCertificateHostMismatch}, "install a certificate with this name."},
		{mtasts.Error{Result: mtasts.ResultCertificateExpired}, "renew its certificate."},
		{mtasts.Error{Result: mtasts.ResultCertificateNotTrusted}, "a certificate of a public CA"},
		{mtasts.Error{Result: mtasts.ResultValidationFailure, Reason: mtasts.ReasonMXNotListed}, "list it in the policy"},
		{mtasts.Error{Result: mtasts.ResultValidationFailure}, "make it accept TLS 1.2 or later"},
	} {
		policy, _ := held(t, "mx.example.com", mtasts.ErrNoSTARTTLS)
		c.err.MX = "mx.example.com"
		p := parseBounce(t, newBounce(failure{Address: "user@example.com", Policy: policy, Err: &c.err}))
		if want := "about the server mx.example.com: "; !strings.Contains(unfolded(p.text), want) || !strings.Contains(unfolded(p.text), c.cure) {
			t.Errorf("%v: the text does not have %q and %q:\n%s", c.err, want, c.cure, p.text)
		}
	}
}
