// Package delivery is the outbound side of a small mail server: it takes one
// message to the MX hosts of its recipient's domain, as the domain's MTA-STS
// policy demands.
//
// [Sender.Deliver] in deliver.go and the attempt in attempt.go are the whole of MTA-STS
// here; a mail server that adopts the library changes its own loop in the same places.
// mx.go asks the DNS where to deliver, session.go speaks SMTP by way of net/smtp.
//
// Where an MX host has usable TLSA records, a sender that knows DANE does DANE
// instead (RFC 8461, Section 2). This one does not know it.
package delivery

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/mtasts/go-mtasts/mtasts"
)

// A Sender delivers messages. All fields must be set, but for Roots. It may be used
// concurrently.
type Sender struct {
	// Policies tells what the recipients' domains demand.
	Policies *mtasts.Client

	// DNS tells which hosts take a domain's mail, and where they are.
	DNS DNS

	// Roots are what an MX host must chain to if its domain's policy demands a
	// certificate. Nil: the system's.
	Roots *x509.CertPool

	// Dial connects to an address such as "192.0.2.1:25" or "[2001:db8::1]:25".
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Port string // of the MX hosts, "25"
	Helo string // the name by which the Sender introduces itself

	// Log is told each decision, with texts from the network in any form: it must escape
	// them.
	Log func(format string, args ...any)
}

// A Message is a mail message for one recipient.
type Message struct {
	From string // "" for a bounce
	To   string // at a domain, not at an address literal
	Data []byte // header, blank line, body; lines end in LF or CRLF
}

// A Rejection is a final answer: a host has refused the message by a 5xx reply to MAIL,
// RCPT, DATA or the message itself, or its domain takes no mail. No other error is one,
// whatever reply may be found in it: a 5xx greeting, or a 5xx reply to EHLO or STARTTLS,
// is about one host and not about the message.
type Rejection struct{ Err error }

func (r *Rejection) Error() string { return "rejected: " + r.Err.Error() }

// Unwrap returns r.Err.
func (r *Rejection) Unwrap() error { return r.Err }

// ErrUnanswered: a host was sent the whole message and did not say whether it has
// taken it.
var ErrUnanswered = errors.New("sent, but not confirmed")

// Deliver takes m to one of the MX hosts of its recipient's domain.
//
// An error that wraps a [*Rejection] or [mtasts.ErrInvalidDomain] is final: send the
// message back. After any other keep it in the queue and try again later. One that
// wraps an [*mtasts.Error] says that the policy has held it back.
func (s *Sender) Deliver(ctx context.Context, m Message) error {
	domain := m.To[strings.LastIndexByte(m.To, '@')+1:]
	policy, err := s.Policies.PolicyFor(ctx, domain)
	if err != nil {
		return err // it is not known what the domain demands, so it may demand anything
	}
	s.logPolicy(policy)
	hosts, err := s.lookupHosts(ctx, policy.Domain)
	if err != nil {
		return err
	}
	err = s.tryHosts(ctx, policy, hosts, m)
	if _, heldBack := errors.AsType[*mtasts.Error](err); !heldBack {
		return err
	}

	// RFC 8461, Section 5: before a message that a policy has held back fails for
	// good, the sender must check for a newer policy. A mail server with a queue
	// does this at the end of the message's time there, before the bounce. This
	// program keeps no queue, so that every attempt may be the last.
	newer, unknown := s.Policies.Recheck(ctx, domain)
	if unknown != nil || newer.Mode == policy.Mode && newer.Text == policy.Text {
		return err
	}
	s.logPolicy(newer)
	return s.tryHosts(ctx, newer, hosts, m)
}

// tryHosts takes m to the first of the hosts that the policy allows and that accepts it.
func (s *Sender) tryHosts(ctx context.Context, policy *mtasts.Policy, hosts []string, m Message) error {
	// In MX order, never filtered beforehand (RFC 8461, Section 8.4).
	return tryEach(ctx, hosts, func(mx string) error { return s.tryHost(ctx, policy, mx, m) })
}

// tryEach tries one after another until the message is settled: it is delivered, or must
// not be offered to anybody else.
func tryEach[T any](ctx context.Context, all []T, try func(T) error) error {
	if len(all) == 0 {
		return errors.New("the DNS has an empty answer")
	}
	var failures []error
	for _, one := range all {
		err := try(one)
		_, rejected := errors.AsType[*Rejection](err)
		switch {
		case err == nil, rejected, errors.Is(err, ErrUnanswered):
			return err // another host would say the same, or deliver it twice
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// logPolicy logs what a domain demands.
func (s *Sender) logPolicy(p *mtasts.Policy) {
	if p.Cause != nil {
		s.Log("%s: no policy: %v", p.Domain, p.Cause)
		return
	}
	s.Log("%s: mode %s, mx %s, id %s, until %s", p.Domain, p.Mode, strings.Join(p.MX, " "), p.ID,
		p.Expires.Format("2006-01-02 15:04:05 MST"))
}
