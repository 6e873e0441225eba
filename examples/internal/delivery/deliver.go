// Package delivery is the outbound side of a mail server. It delivers a message to an MX host of
// the recipients' domain, or to a smart host, under the MTA-STS policy of that domain.
//
// MTA-STS is in two files only: deliver.go, with [Sender.Deliver], and attempt.go. A mail server
// that adopts the library changes its own loop in the same places. mx.go looks up the MX hosts.
// session.go is SMTP with net/smtp, idle.go keeps sessions for the next message.
//
// If an MX host has usable TLSA records, a sender that supports DANE uses DANE instead
// (RFC 8461, Section 2). This one does not support DANE.
package delivery

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// A Sender delivers messages. It is safe for concurrent use. Close it at the end.
type Sender struct {
	Policies  *mtasts.Client
	DNS       DNS
	Roots     *x509.CertPool // CAs for MX hosts under a policy; nil means those of the system
	Port      string         // of the hosts, "25"
	Helo      string         // the name of the Sender in EHLO
	SmartHost string         // gets all messages; "" means the MX hosts of the recipients' domains
	KeepIdle  time.Duration  // how long a session inside TLS waits for the next message; may be 0

	// Dial connects to an address such as "192.0.2.1:25" or "[2001:db8::1]:25". It should have a
	// time limit.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Log logs each decision. Its arguments have untrusted text, which it must escape.
	Log func(format string, args ...any)

	idle     sync.Map       // of *session by peer
	quitting sync.WaitGroup // sessions
}

// A Message is a mail message for recipients with the same [Sender.NextHop].
type Message struct {
	From        string        // "" for a bounce
	To          []string      // each at a domain, not at an address literal
	Data        io.ReadSeeker // header, blank line, body; lines end in LF or CRLF
	TLSOptional bool          // it has the header field "TLS-Required: No" (RFC 8689): no policy applies
	Last        bool          // it fails for good if this attempt does not deliver it
}

// each returns err for each recipient.
func (m *Message) each(err error) map[string]error {
	errs := make(map[string]error)
	for _, to := range m.To {
		errs[to] = err
	}
	return errs
}

// An Outcome is the result of an attempt.
type Outcome struct {
	// Errors has an entry for each recipient. Nil means that a host has accepted the message.
	//
	// An error that wraps a [*Rejection] or [mtasts.ErrInvalidDomain] is final: the message
	// bounces. After any other error, keep it in the queue and try again later. An error that
	// wraps an [*mtasts.Error] is a deferral because of the policy.
	Errors map[string]error

	Policy *mtasts.Policy // that applied, nil if it is not known
}

// Err returns all errors as one.
func (o *Outcome) Err() error { return errors.Join(slices.Collect(maps.Values(o.Errors))...) }

// A Rejection is a final error: a host replied with 5xx to MAIL, RCPT, DATA or the message, or the
// domain does not accept mail. A 5xx greeting, or a 5xx reply to EHLO or STARTTLS, is not a
// Rejection: it is about one host, not about the message.
type Rejection struct {
	Host string // that replied, "" if none did
	Err  error
}

func (r *Rejection) Error() string { return "rejected: " + r.Err.Error() }

// Unwrap returns r.Err.
func (r *Rejection) Unwrap() error { return r.Err }

var (
	// ErrUnanswered means that a host got the whole message but did not reply to it.
	ErrUnanswered = errors.New("sent, but not confirmed")

	// ErrUnchecked means that a policy held back a message with Last set, and could not be
	// checked for a change. Keep the message for another day (see [mtasts.Client.Recheck]).
	ErrUnchecked = errors.New("the policy could not be checked for a change")
)

// NextHop returns the policy domain of a recipient: that of the smart host (RFC 8461, Section
// 3.4), or of the address.
func (s *Sender) NextHop(to string) string {
	if s.SmartHost != "" {
		return s.SmartHost
	}
	return strings.ToLower(to[strings.LastIndexByte(to, '@')+1:])
}

// Deliver delivers m.
func (s *Sender) Deliver(ctx context.Context, m Message) *Outcome {
	domain := s.NextHop(m.To[0])
	policy, err := mtasts.NoPolicy(domain), error(nil)
	if !m.TLSOptional {
		policy, err = s.Policies.PolicyFor(ctx, domain)
	}
	if err != nil {
		return &Outcome{m.each(err), nil} // the policy is unknown, so it may be of mode enforce
	}
	s.logPolicy(policy)
	outcome := &Outcome{s.tryHosts(ctx, policy, m), policy}

	// RFC 8461, Section 5: before a message fails permanently because of a policy, the sender
	// must check for a newer policy.
	m.To = slices.DeleteFunc(slices.Clone(m.To), func(to string) bool {
		_, held := errors.AsType[*mtasts.Error](outcome.Errors[to])
		return !held || settled(outcome.Errors[to])
	})
	if !m.Last || len(m.To) == 0 {
		return outcome
	}
	newer, err := s.Policies.Recheck(ctx, domain)
	switch {
	case err != nil:
		for _, to := range m.To {
			outcome.Errors[to] = fmt.Errorf("%w; %w: %w", outcome.Errors[to], ErrUnchecked, err)
		}
	case newer.Mode != policy.Mode || newer.Text != policy.Text:
		s.logPolicy(newer)
		maps.Copy(outcome.Errors, s.tryHosts(ctx, newer, m))
		outcome.Policy = newer
	}
	return outcome
}

// settled reports whether err is final: another host would reply the same, or deliver a second
// copy.
func settled(err error) bool {
	_, rejected := errors.AsType[*Rejection](err)
	return err == nil || rejected || errors.Is(err, ErrUnanswered)
}

// tryHosts delivers m to the first host that the policy allows and that accepts it.
func (s *Sender) tryHosts(ctx context.Context, policy *mtasts.Policy, m Message) map[string]error {
	hosts, err := s.lookupHosts(ctx, policy.Domain)
	if err != nil {
		return m.each(err)
	}
	// In MX order, never filtered beforehand (RFC 8461, Section 8.4).
	return tryEach(ctx, hosts, m, func(mx string, m Message) map[string]error { return s.tryHost(ctx, policy, mx, m) })
}

// tryEach tries each of all for the recipients that are not settled.
func tryEach[T any](ctx context.Context, all []T, m Message, try func(T, Message) map[string]error) map[string]error {
	if len(all) == 0 {
		return m.each(errors.New("the DNS answer is empty"))
	}
	errs := make(map[string]error)
	for _, one := range all {
		for to, err := range try(one, m) {
			if !settled(err) {
				err = errors.Join(errs[to], err)
			}
			errs[to] = err
		}
		m.To = slices.DeleteFunc(slices.Clone(m.To), func(to string) bool { return settled(errs[to]) })
		if ctx.Err() != nil || len(m.To) == 0 {
			break
		}
	}
	return errs
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
