// Package starttls does STARTTLS with net/smtp. It separates the failures of TLS from the replies
// of the host, which net/smtp returns as one error.
package starttls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/smtp"
	"net/textproto"
	"strings"

	"github.com/mtasts/go-mtasts/mtasts"
)

// Offered reports whether a host lists STARTTLS in its reply to EHLO. It fails if the connection
// does, or if the host refuses the session.
//
// RFC 5321, Section 2.4: keywords are case-insensitive. net/smtp finds STARTTLS only in upper
// case and does not expose the reply. If it finds none, Offered sends EHLO again, with helo as
// the name of the client.
func Offered(c *smtp.Client, helo string) (bool, error) {
	if offered, _ := c.Extension("STARTTLS"); offered {
		return true, nil
	}
	if err := c.Text.PrintfLine("EHLO %s", helo); err != nil {
		return false, err
	}
	_, answer, err := c.Text.ReadResponse(250)
	if reply, ok := errors.AsType[*textproto.Error](err); ok && reply.Code/100 == 5 {
		return false, nil // the host supports HELO only
	} else if err != nil {
		return false, err
	}
	_, keywords, _ := strings.Cut(answer, "\n") // after the greeting
	for line := range strings.Lines(keywords) {
		if fields := strings.Fields(line); len(fields) > 0 && strings.EqualFold(fields[0], "STARTTLS") {
			return true, nil
		}
	}
	return false, nil
}

// Start starts TLS and sends EHLO inside it, during which net/smtp completes the handshake. At
// least one of the errors is nil.
//
// cause is a failure of TLS, for [mtasts.Host.AllowFallback]. refusal is a negative reply to EHLO
// inside TLS: the handshake is complete, as it is without an error.
func Start(c *smtp.Client, cfg *tls.Config) (cause, refusal error) {
	err := c.StartTLS(cfg)
	_, begun := c.TLSConnectionState() // the reply to STARTTLS was 220
	_, reply := errors.AsType[*textproto.Error](err)
	_, malformed := errors.AsType[textproto.ProtocolError](err)
	switch {
	case !reply && !malformed: // nil, or a bad certificate, an alert, a closed connection
		return err, nil
	case !begun:
		return fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, err), nil
	}
	return nil, fmt.Errorf("EHLO inside TLS: %w", err)
}
