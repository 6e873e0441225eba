// Package delivery is the outbound side of a small mail server. It delivers one message to an MX
// host of the recipient's domain, under the domain's MTA-STS policy.
//
// MTA-STS is in two files only: deliver.go, with [Sender.Deliver], and attempt.go. A mail server
// that adopts the library changes its own loop in the same places. mx.go looks up the MX hosts.
// session.go is SMTP with net/smtp.
//
// If an MX host has usable TLSA records, a sender that supports DANE uses DANE instead
// (RFC 8461, Section 2). This one does not support DANE.
package delivery

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/mtasts/go-mtasts/mtasts"
)

// A Sender delivers messages. All fields but Roots must be set. It is safe for concurrent use.
type Sender struct {
	// Policies has the policies of the recipients' domains.
	Policies *mtasts.Client

	// DNS has the MX hosts and their addresses.
	DNS DNS

	// Roots are the CAs for MX hosts whose policy requires a certificate. Nil means those of the
	// system.
	Roots *x509.CertPool

	// Dial connects to an address such as "192.0.2.1:25" or "[2001:db8::1]:25".
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Port string // of the MX hosts, "25"
	Helo string // the name of the Sender in EHLO

	// Log logs each decision. Its arguments have untrusted text, which it must escape.
	Log func(format string, args ...any)
}

// A Message is a mail message for one recipient.
type Message struct {
	From string // "" for a bounce
	To   string // at a domain, not at an address literal
	Data []byte // header, blank line, body; lines end in LF or CRLF

	// TLSOptional is for a message with the header field "TLS-Required: No" (RFC 8689), such as
	// a TLS report: no policy applies to it.
	TLSOptional bool
}

// A Rejection is a final error: a host replied with 5xx to MAIL, RCPT, DATA or the message, or the
// domain does not accept mail. A 5xx greeting, or a 5xx reply to EHLO or STARTTLS, is not a
// Rejection: it is about one host, not about the message.
type Rejection struct{ Err error }

func (r *Rejection) Error() string { return "rejected: " + r.Err.Error() }

// Unwrap returns r.Err.
func (r *Rejection) Unwrap() error { return r.Err }

// ErrUnanswered means that a host got the whole message but did not reply to it.
var ErrUnanswered = errors.New("sent, but not confirmed")

// Deliver delivers m to one of the MX hosts of the recipient's domain.
//
// An error that wraps a [*Rejection] or [mtasts.ErrInvalidDomain] is final: the message bounces.
// After any other error, keep it in the queue and try again later. An error that wraps an
// [*mtasts.Error] is a deferral because of the policy.
func (s *Sender) Deliver(ctx context.Context, m Message) error {
	domain := m.To[strings.LastIndexByte(m.To, '@')+1:]
	if m.TLSOptional {
		hosts, err := s.lookupHosts(ctx, domain)
		if err != nil {
			return err
		}
		return s.tryHosts(ctx, mtasts.NoPolicy(domain), hosts, m)
	}
	policy, err := s.Policies.PolicyFor(ctx, domain)
	if err != nil {
		return err // the policy is unknown, so it may be of mode enforce
	}
	s.logPolicy(policy)
	hosts, err := s.lookupHosts(ctx, policy.Domain)
	if err != nil {
		return err
	}
	err = s.tryHosts(ctx, policy, hosts, m)
	if _, deferred := errors.AsType[*mtasts.Error](err); !deferred {
		return err
	}

	// RFC 8461, Section 5: before a message fails permanently because of a policy, the sender
	// must check for a newer policy. A mail server with a queue does this when the message has
	// been there for too long, before the bounce. This program has no queue, so every attempt
	// may be the last.
	newer, unknown := s.Policies.Recheck(ctx, domain)
	if unknown != nil || newer.Mode == policy.Mode && newer.Text == policy.Text {
		return err
	}
	s.logPolicy(newer)
	return s.tryHosts(ctx, newer, hosts, m)
}

// tryHosts delivers m to the first host that the policy allows and that accepts it.
func (s *Sender) tryHosts(ctx context.Context, policy *mtasts.Policy, hosts []string, m Message) error {
	// In MX order, never filtered beforehand (RFC 8461, Section 8.4).
	return tryEach(ctx, hosts, func(mx string) error { return s.tryHost(ctx, policy, mx, m) })
}

// tryEach tries each of all until the message is delivered or must not be sent to another.
func tryEach[T any](ctx context.Context, all []T, try func(T) error) error {
	if len(all) == 0 {
		return errors.New("the DNS answer is empty")
	}
	var failures []error
	for _, one := range all {
		err := try(one)
		_, rejected := errors.AsType[*Rejection](err)
		switch {
		case err == nil, rejected, errors.Is(err, ErrUnanswered):
			return err // another host would reply the same, or deliver a second copy
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// logPolicy logs the policy of a domain.
func (s *Sender) logPolicy(p *mtasts.Policy) {
	if p.Cause != nil {
		s.Log("%s: no policy: %v", p.Domain, p.Cause)
		return
	}
	s.Log("%s: mode %s, mx %s, id %s, until %s", p.Domain, p.Mode, strings.Join(p.MX, " "), p.ID,
		p.Expires.Format("2006-01-02 15:04:05 MST"))
}
