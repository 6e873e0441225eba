package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"regexp"
	"strings"
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
	Header   []byte    // of the failed message; what follows its blank line is not used
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

// message returns the notification. Whatever the network wrote, it has no other header fields than
// these, and no long lines. All but the quoted header is ASCII.
func (b *bounce) message() []byte {
	text := fold("", fmt.Sprintf("This is the mail relay %s. It could not deliver your message of %s to the recipients below, "+
		"and does not try again.", b.Hostname, date(b.Arrived)))
	status := fmt.Sprintf("Reporting-MTA: dns; %s\nArrival-Date: %s\n", b.Hostname, date(b.Arrived))
	for _, f := range b.Failed {
		text += f.explain()
		status += "\n" + f.fields()
	}

	var message bytes.Buffer               // whose writers do not fail
	parts := multipart.NewWriter(&message) // its boundary is random: no quoted text can have it
	lines := strings.NewReplacer("\n", "\r\n")
	lines.WriteString(&message, fmt.Sprintf("From: Mail Delivery System <MAILER-DAEMON@%s>\n", b.Hostname)+
		fold("To: ", "<"+b.To+">")+"Subject: Your message could not be delivered\n"+
		fmt.Sprintf("Date: %s\nMessage-ID: <%s@%s>\n", date(time.Now()), rand.Text(), b.Hostname)+
		"Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"+ // RFC 3834, Section 5.2
		fmt.Sprintf("Content-Type: multipart/report; report-type=delivery-status;\n boundary=%q\n\n", parts.Boundary()))
	part := func(mediaType, encoding string) io.Writer {
		w, _ := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {mediaType}, "Content-Transfer-Encoding": {encoding}})
		return w
	}
	lines.WriteString(part("text/plain; charset=us-ascii", "7bit"), text)
	lines.WriteString(part("message/delivery-status", "7bit"), status)
	original := quotedprintable.NewWriter(part("text/rfc822-headers; charset=utf-8", "quoted-printable"))
	original.Write(b.quoted())
	original.Close()
	parts.Close()
	return message.Bytes()
}

// quoted returns the header of the failed message, cut at maxQuotedHeader.
func (b *bounce) quoted() []byte {
	header := bytes.ReplaceAll(b.Header[:min(len(b.Header), maxQuotedHeader)], []byte("\r\n"), []byte("\n"))
	header, _, _ = bytes.Cut(append([]byte("\n"), header...), []byte("\n\n"))
	return append(bytes.Trim(header, "\n"), '\n')
}

var enhancedCode = regexp.MustCompile(`^[45](\.\d{1,3}\.\d{1,3})(\s|$)`) // RFC 3463, Section 2

// status returns the enhanced status code. It is of class 5, since the message has failed, even if
// the last error was transient.
func (f *failure) status() string {
	if e, ok := errors.AsType[*mtasts.Error](f.Err); ok {
		if code := e.EnhancedCode(); code != "4.4.3" && code != "4.3.0" {
			return "5" + code[1:]
		}
		return "5.4.7"
	}
	if reply, ok := errors.AsType[*textproto.Error](f.Err); ok {
		if code := enhancedCode.FindStringSubmatch(reply.Msg); code != nil {
			return "5" + code[1]
		}
	}
	if f.Expired {
		return "5.4.7" // delivery time expired
	}
	return "5.0.0"
}

// fields returns the fields about one recipient (RFC 3464, Section 2.3).
func (f *failure) fields() string {
	remote, diagnostic := f.MX, "x-mtasts-relay; "+f.Err.Error()
	if e, ok := errors.AsType[*mtasts.Error](f.Err); ok {
		remote = e.MX
	} else if reply, ok := errors.AsType[*textproto.Error](f.Err); ok {
		diagnostic = fmt.Sprintf("smtp; %d %s", reply.Code, reply.Msg)
	}
	fields := fold("Final-Recipient: rfc822; ", f.Address) + "Action: failed\nStatus: " + f.status() + "\n"
	if remote != "" && !errors.Is(f.Err, mtasts.ErrNotListed) { // to which the relay did not connect
		fields += fold("Remote-MTA: dns; ", remote)
	}
	return fields + fold("Diagnostic-Code: ", diagnostic)
}

// explain returns the part for people.
func (f *failure) explain() string {
	text := "\n" + fold("To: ", f.Address) + "Status: " + f.status() + "\n" + fold("Reason: ", f.Err.Error())
	if f.Expired {
		text += "\n" + fold("", "The relay has tried for as long as it keeps a message.")
	}
	e, ok := errors.AsType[*mtasts.Error](f.Err)
	if !ok || e.MX == "" || f.Policy == nil || f.Policy.Mode != mtasts.ModeEnforce {
		return text
	}
	domain := f.Policy.Domain
	text += "\n" + fold("", "The domain "+domain+" has a policy (MTA-STS, RFC 8461): mail may only go to mail servers that the "+
		"policy lists, over TLS with a valid certificate. The server "+e.MX+" does not comply. Either it is set up wrongly, or "+
		"somebody tries to intercept the mail. The relay has not sent your message to it.")
	text += "\n" + fold("", "What you can do: tell the recipient by other means. Send the message again when the operator of "+
		domain+" has corrected the fault.")
	text += "\n" + fold("", "What the operator of "+domain+" must do about the server "+e.MX+": "+cure(e)+".")
	text += "\n" + fold("", fmt.Sprintf("The policy is of mode %s, with id %s, fetched %s, valid until %s, from "+
		"https://mta-sts.%s/.well-known/mta-sts.txt:", f.Policy.Mode, f.Policy.ID, date(f.Policy.Fetched), date(f.Policy.Expires), domain)) + "\n"
	for line := range strings.Lines(f.Policy.Text[:min(len(f.Policy.Text), maxQuotedPolicy)]) {
		text += fold("    ", strings.TrimRight(line, "\r\n"))
	}
	return text
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
	}
	if e.Reason == mtasts.ReasonMXNotListed {
		return "list it in the policy and publish a new id, or remove its MX record"
	}
	return "make it accept TLS 1.2 or later, with a valid certificate of a public CA and all intermediate certificates"
}

func date(t time.Time) string { return t.Format("Mon, 02 Jan 2006 15:04:05 -0700") }

// fold returns text as a field or, without a name, as a paragraph. Even without blanks, its lines are
// below the limit of RFC 5322, Section 2.1.1.
func fold(name, text string) string {
	text = cli.Printable(text)
	folded, line, indent := "", name, strings.Repeat(" ", min(len(name), 1))
	for i, word := range strings.Fields(text[:min(len(text), 900)]) {
		switch {
		case i == 0:
			line += word
		case len(line)+len(word) < 74:
			line += " " + word
		default:
			folded, line = folded+line+"\n", indent+word
		}
	}
	return folded + line + "\n"
}
