// Package starttls is STARTTLS with net/smtp, and tells apart what that runs together:
// what a host says, and what becomes of TLS.
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

// Offered reports whether a host lists STARTTLS in its answer to EHLO. An error is about
// the connection, or the host has refused the session.
//
// RFC 5321, Section 2.4: keywords may come in any case. net/smtp finds only those in
// upper case and keeps the answer to itself, so that a host which seems to have none is
// asked once more, with helo as the name of the client.
func Offered(c *smtp.Client, helo string) (bool, error) {
	if offered, _ := c.Extension("STARTTLS"); offered {
		return true, nil
	}
	if err := c.Text.PrintfLine("EHLO %s", helo); err != nil {
		return false, err
	}
	_, answer, err := c.Text.ReadResponse(250)
	if reply, ok := errors.AsType[*textproto.Error](err); ok && reply.Code/100 == 5 {
		return false, nil // it knows HELO alone
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

// Start puts a session under TLS and sends EHLO there, for it is in EHLO that net/smtp
// makes the handshake. One of the errors is nil, or both are.
//
// cause says why TLS could not be had, for [mtasts.Host.AllowFallback]. refusal is an
// answer to EHLO that came inside TLS: it is about the host, and the handshake is over
// as it is after a success.
func Start(c *smtp.Client, cfg *tls.Config) (cause, refusal error) {
	err := c.StartTLS(cfg)
	_, begun := c.TLSConnectionState() // the reply to STARTTLS was 220
	_, reply := errors.AsType[*textproto.Error](err)
	_, malformed := errors.AsType[textproto.ProtocolError](err)
	switch {
	case !reply && !malformed: // a bad certificate, an alert, a hang-up; or nil
		return err, nil
	case !begun:
		return fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, err), nil
	}
	return nil, fmt.Errorf("EHLO inside TLS: %w", err)
}
