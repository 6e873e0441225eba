package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/textproto"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts"
)

// A bounce tells the sender of a message that it has failed for good (RFC 3464). Send it from
// the empty address, and never for a message that came from there (RFC 5321, Section 6.1).
type bounce struct {
	Hostname string    // of this relay
	To       string    // the sender of the failed message
	Arrived  time.Time // of the failed message
	Text     io.Reader // of the failed message
	Failed   []failure
}

// A failure is about one recipient.
type failure struct {
	Address string         // of the recipient
	Err     error          // of the last attempt
	MX      string         // the host that replied, "" if none did
	Policy  *mtasts.Policy // of the last attempt, nil if none was known
	Expired bool           // the message has been in the queue for too long
}

// What a bounce quotes, in octets.
const (
	maxQuotedHeader = 32 << 10
	maxQuotedPolicy = 2 << 10
)

// bounceText is a bounce. All that the network wrote passes through "line" or is quoted-printable, and
// no quoted text can have the ID, which is random.
var bounceText = template.Must(template.New("").Funcs(template.FuncMap{
	"line": line, "lines": published, "date": date, "cure": cure,
}).Parse(`From: Mail Delivery System <MAILER-DAEMON@{{.Hostname}}>
To: <{{line .To}}>
Subject: Your message could not be delivered
Date: {{date .Now}}
Message-ID: <{{.ID}}@{{.Hostname}}>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary={{.ID}}

--{{.ID}}
Content-Type: text/plain; charset=us-ascii

This is the mail relay {{.Hostname}}. It could not deliver your
message of {{date .Arrived}} to the recipients below, and
does not try again.
{{range $failure := .Failed}}
To: {{line .Address}}
Status: {{.Fields.Status}}
Reason: {{line .Err}}
{{if .Expired}}
The relay has tried for as long as it keeps a message.
{{end}}{{with .Violation}}
The domain {{line .Domain}} has a policy (MTA-STS, RFC 8461): mail may only go to
mail servers that the policy lists, over TLS with a valid certificate. The server
{{line .MX}} does not comply. Either it is set up wrongly, or somebody tries to
intercept the mail. The relay has not sent your message to it.

What you can do: tell the recipient by other means. Send the message again when
the operator of {{line .Domain}} has corrected the fault.

What the operator of {{line .Domain}} must do about
the server {{line .MX}}: {{cure .}}.
{{with $failure.Policy}}
The policy is of mode {{.Mode}}, with id {{line .ID}},
fetched {{date .Fetched}}, valid until {{date .Expires}},
from https://mta-sts.{{line .Domain}}/.well-known/mta-sts.txt:
{{if .Override}}(The operator of this relay has changed its mode.)
{{end}}
{{range lines .Text}}    {{line .}}
{{end}}{{end}}{{end}}{{end}}
--{{.ID}}
Content-Type: message/delivery-status

Reporting-MTA: dns; {{.Hostname}}
Arrival-Date: {{date .Arrived}}
{{range .Failed}}
Final-Recipient: rfc822; {{line .Address}}
Action: failed
{{with .Fields}}Status: {{.Status}}
{{with .RemoteMTA}}Remote-MTA: dns; {{line .}}
{{end}}Diagnostic-Code: {{line .Diagnostic}}
{{end}}{{end}}
--{{.ID}}
Content-Type: text/rfc822-headers; charset=utf-8
Content-Transfer-Encoding: quoted-printable

{{.QuotedHeader}}
--{{.ID}}--
`))

// message returns the notification, in ASCII.
func (b *bounce) message() ([]byte, error) {
	var text bytes.Buffer
	err := bounceText.Execute(&text, struct {
		*bounce
		ID  string
		Now time.Time
	}{b, rand.Text(), time.Now()})
	return bytes.ReplaceAll(text.Bytes(), []byte("\n"), []byte("\r\n")), err
}

// line returns v as one line, of less octets than are allowed (RFC 5322, Section 2.1.1).
func line(v any) string { return fmt.Sprintf("%.900s", cli.Printable(fmt.Sprint(v))) }

func date(t time.Time) string { return t.Format("Mon, 02 Jan 2006 15:04:05 -0700") }

// QuotedHeader returns the header of the failed message, as much of it as a bounce may quote.
func (b *bounce) QuotedHeader() string {
	var quoted strings.Builder
	w := quotedprintable.NewWriter(&quoted)
	left := maxQuotedHeader
	for lines := bufio.NewScanner(b.Text); lines.Scan() && len(lines.Bytes()) > 0; {
		if left -= len(lines.Bytes()) + 2; left < 0 {
			break
		}
		fmt.Fprintf(w, "%s\n", lines.Bytes())
	}
	w.Close()
	return strings.ReplaceAll(quoted.String(), "\r\n", "\n")
}

// published returns the lines of a policy.
func published(text string) []string {
	text = strings.ReplaceAll(text[:min(len(text), maxQuotedPolicy)], "\r\n", "\n")
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}

// Violation returns the error of the policy that has held the message back, nil if none has.
func (f failure) Violation() *mtasts.Error {
	e, _ := errors.AsType[*mtasts.Error](f.Err)
	if e == nil || e.MX == "" || f.Policy == nil || f.Policy.Mode != mtasts.ModeEnforce {
		return nil
	}
	return e
}

// fields are those about one recipient (RFC 3464, Section 2.3).
type fields struct{ Status, RemoteMTA, Diagnostic string }

var enhancedCode = regexp.MustCompile(`^[45](\.\d{1,3}\.\d{1,3})(\s|$)`) // RFC 3463, Section 2

// Fields explains the failure with an error of the policy, or else with a reply. The status is of
// class 5, since the message has failed, even if the last error was transient.
func (f failure) Fields() fields {
	x := fields{"5.0.0", f.MX, "x-mtasts-relay; " + f.Err.Error()}
	if f.Expired {
		x.Status = "5.4.7" // delivery time expired
	}
	if e, ok := errors.AsType[*mtasts.Error](f.Err); ok {
		x.RemoteMTA = e.MX
		if code := e.EnhancedCode(); code != "4.4.3" && code != "4.3.0" {
			x.Status = "5" + code[1:]
		}
		if e.Reason == mtasts.ReasonMXNotListed {
			x.RemoteMTA = "" // the relay has not connected to it
		}
	} else if reply, ok := errors.AsType[*textproto.Error](f.Err); ok {
		x.Diagnostic = fmt.Sprintf("smtp; %d %s", reply.Code, reply.Msg)
		if code := enhancedCode.FindStringSubmatch(reply.Msg); code != nil {
			x.Status = "5" + code[1]
		}
	}
	return x
}

// cure returns what makes the server comply.
func cure(e *mtasts.Error) string {
	switch e.Result {
	case mtasts.ResultSTARTTLSNotSupported:
		return "make it offer STARTTLS"
	case mtasts.ResultCertificateHostMismatch:
		return "install a certificate with this name"
	case mtasts.ResultCertificateExpired:
		return "renew its certificate"
	case mtasts.ResultCertificateNotTrusted:
		return "install a certificate of a public CA, with all intermediate certificates"
	}
	if e.Reason == mtasts.ReasonMXNotListed {
		return "list it in the policy and publish a new id, or remove its MX record"
	}
	return "make it accept TLS 1.2 or later with a valid certificate"
}
