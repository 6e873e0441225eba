package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
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
	maxAddress      = 320 // RFC 5321, Section 4.5.3.1: 64 and 255, with the @
	maxQuotedHeader = 32 << 10
	maxQuotedPolicy = 2 << 10
)

// message returns the notification. Whatever the network wrote, it has no other header fields
// than these, and no long lines. All but the quoted header is ASCII.
func (b *bounce) message() []byte {
	var message bytes.Buffer               // whose writers do not fail
	parts := multipart.NewWriter(&message) // its boundary is random: no quoted text can have it
	to := cli.Printable(b.To)
	to = (&mail.Address{Address: to[:min(len(to), maxAddress)]}).String()
	fmt.Fprintf(&message, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: %s\r\n", b.Hostname, to)
	fmt.Fprintf(&message, "Subject: Your message could not be delivered\r\nDate: %s\r\n", date(time.Now()))
	fmt.Fprintf(&message, "Message-ID: <%s@%s>\r\nAuto-Submitted: auto-replied\r\n", rand.Text(), b.Hostname)
	fmt.Fprintf(&message, "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n")
	fmt.Fprintf(&message, " boundary=%q\r\n\r\n", parts.Boundary())
	part := func(mediaType, encoding string) io.Writer {
		w, _ := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {mediaType}, "Content-Transfer-Encoding": {encoding}})
		return w
	}

	text := quotedprintable.NewWriter(part("text/plain; charset=us-ascii", "quoted-printable"))
	fmt.Fprint(text, fold("", fmt.Sprintf("This is the mail relay %s. It could not deliver your message of %s to the "+
		"recipients below, and does not try again.", b.Hostname, date(b.Arrived))))
	for _, f := range b.Failed {
		fmt.Fprint(text, f.explain())
	}
	text.Close()

	// RFC 3464, Section 2.1: 7bit is enough, and no other encoding is allowed.
	status := part("message/delivery-status", "7bit")
	fmt.Fprintf(status, "Reporting-MTA: dns; %s\r\nArrival-Date: %s\r\n", b.Hostname, date(b.Arrived))
	for _, f := range b.Failed {
		fmt.Fprint(status, strings.ReplaceAll("\n"+f.fields(), "\n", "\r\n"))
	}

	header := quotedprintable.NewWriter(part("text/rfc822-headers; charset=utf-8", "quoted-printable"))
	header.Write(b.quoted())
	header.Close()
	parts.Close()
	return message.Bytes()
}

// quoted returns the header of the failed message, as much of it as a bounce may quote.
func (b *bounce) quoted() []byte {
	header := bytes.ReplaceAll(b.Header[:min(len(b.Header), maxQuotedHeader)], []byte("\r\n"), []byte("\n"))
	header, _, _ = bytes.Cut(append([]byte("\n"), header...), []byte("\n\n"))
	if whole := bytes.LastIndexByte(header, '\n'); len(b.Header) > maxQuotedHeader {
		header = header[:whole]
	}
	return append(bytes.Trim(header, "\n"), '\n')
}

var enhancedCode = regexp.MustCompile(`^[45](\.\d{1,3}\.\d{1,3})(\s|$)`) // RFC 3463, Section 2

// cause returns what explains the failure best: an error of the policy, a reply, or neither.
func (f *failure) cause() (*mtasts.Error, *textproto.Error) {
	if e, ok := errors.AsType[*mtasts.Error](f.Err); ok {
		return e, nil
	}
	reply, _ := errors.AsType[*textproto.Error](f.Err)
	return nil, reply
}

// status returns the enhanced status code. It is of class 5, since the message has failed, even
// if the last error was transient.
func (f *failure) status() string {
	e, reply := f.cause()
	if e != nil {
		switch code := e.EnhancedCode(); code {
		case "4.4.3", "4.3.0":
			return "5.4.7"
		default:
			return "5" + code[1:]
		}
	}
	if reply != nil {
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
	e, reply := f.cause()
	remote, diagnostic := f.MX, "x-mtasts-relay; "+f.Err.Error()
	switch {
	case e != nil:
		remote = e.MX
	case reply != nil:
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
	e, _ := f.cause()
	if e == nil || e.MX == "" || f.Policy == nil || f.Policy.Mode != mtasts.ModeEnforce {
		return text
	}
	text += "\n" + fold("", "The domain "+f.Policy.Domain+" has a policy (MTA-STS, RFC 8461): mail may only go to mail servers "+
		"that the policy lists, over TLS with a valid certificate. The server "+e.MX+" does not comply. Either it is set up "+
		"wrongly, or somebody tries to intercept the mail. The relay has not sent your message to it.")
	text += "\n" + fold("", "What you can do: tell the recipient by other means. Send the message again when the operator of "+
		f.Policy.Domain+" has corrected the fault.")
	text += "\n" + fold("", "What the operator of "+f.Policy.Domain+" must do about the server "+e.MX+": "+cure(e)+".")
	text += "\n" + fold("", fmt.Sprintf("The policy is of mode %s, with id %s, fetched %s, valid until %s, from https://mta-sts.%s/.well-known/mta-sts.txt:",
		f.Policy.Mode, f.Policy.ID, date(f.Policy.Fetched), date(f.Policy.Expires), f.Policy.Domain)) + "\n"
	if f.Policy.Override != "" {
		text += fold("", "(The operator of this relay has changed its mode.)")
	}
	published := f.Policy.Text[:min(len(f.Policy.Text), maxQuotedPolicy)]
	for line := range strings.Lines(published) {
		text += "    " + cli.Printable(strings.TrimRight(line, "\r\n")) + "\n"
	}
	if len(published) < len(f.Policy.Text) {
		text += "    ...\n"
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
	case mtasts.ResultCertificateNotTrusted:
		return "install a certificate of a public CA, with all intermediate certificates"
	}
	if e.Reason == mtasts.ReasonMXNotListed {
		return "list it in the policy and publish a new id, or remove its MX record"
	}
	return "make it accept TLS 1.2 or later with a valid certificate"
}

func date(t time.Time) string { return t.Format("Mon, 02 Jan 2006 15:04:05 -0700") }

// fold returns text as a field or, without a name, as a paragraph. Its lines have up to 74 octets,
// and up to 600 where text has no blanks: never above the limit (RFC 5322, Section 2.1.1).
func fold(name, text string) string {
	folded, line, indent := "", name, ""
	if name != "" {
		indent = " "
	}
	for _, word := range strings.Fields(cli.Printable(text)) {
		for part := range slices.Chunk([]byte(word), 500) {
			switch {
			case line == name:
				line += string(part)
			case len(line)+len(part) < 74:
				line += " " + string(part)
			default:
				folded += line + "\n"
				line = indent + string(part)
			}
		}
	}
	return folded + line + "\n"
}
