package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/mtasts/go-mtasts/internal/certcheck"
)

// A Host is the decision for one MX host. It may be used concurrently, for any
// number of connections to that host.
type Host struct {
	// Name is the MX host as lower-case A-labels without a final dot. If that is not a
	// host name, which only modes testing and none let pass, Name is what was passed
	// to [Policy.CheckMX], and may hold anything.
	Name string

	policy   *Policy
	reported bool // as not listed, in mode testing: one failure a session is enough
}

// errLoosened is returned from a handshake whose configuration was changed after
// TLSConfig had made it.
var errLoosened = errors.New("the tls.Config of an enforced policy was changed: it must keep ServerName and not set InsecureSkipVerify")

// TLSConfig returns the configuration for the TLS session with the MX, a copy of
// base with what the policy demands. It never loosens base, and base stands for
// what the operator demands by himself: nil, or a base with InsecureSkipVerify,
// is a sender that takes any certificate where no policy speaks; a base without
// it verifies every MX, whatever the domain says. To bring roots of one's own
// without that demand, set both: &tls.Config{RootCAs: pool, InsecureSkipVerify: true}.
//
// In every mode ServerName is the MX host, so SNI names it (RFC 8461, Section
// 7.1). Then:
//
//   - enforce: TLS 1.2 or later (Section 7.2), and crypto/tls itself verifies the
//     certificate against base.RootCAs (Section 4.2); InsecureSkipVerify is off.
//   - testing: the certificate is verified in the same way and the outcome
//     reported, but the handshake fails only if base asks for that.
//   - none: as base says.
//
// If the handshake fails, pass its error to [Host.AllowFallback]. Give each connection
// a configuration of its own call; the returned value is the caller's.
func (h *Host) TLSConfig(base *tls.Config) *tls.Config {
	var cfg *tls.Config
	if base == nil {
		cfg = &tls.Config{InsecureSkipVerify: true} // opportunistic; enforce takes it back
	} else {
		cfg = base.Clone()
	}
	cfg.ServerName = h.Name

	switch h.policy.Mode {
	case ModeEnforce:
		cfg.InsecureSkipVerify = false
		cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
		cfg.VerifyConnection = both(cfg.VerifyConnection, h.confirm)
	case ModeTesting:
		roots, now := cfg.RootCAs, cfg.Time
		if now == nil {
			now = time.Now
		}
		cfg.VerifyConnection = both(cfg.VerifyConnection, func(cs tls.ConnectionState) error {
			h.observe(certcheck.Verify(cs.PeerCertificates, h.Name, roots, now()))
			return nil
		})
	}
	return cfg
}

// both runs first, if there is one, and then second.
func both(first, second func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	if first == nil {
		return second
	}
	return func(cs tls.ConnectionState) error {
		if err := first(cs); err != nil {
			return err
		}
		return second(cs)
	}
}

// confirm runs at the end of a handshake under mode enforce, after crypto/tls has
// verified the certificate: a configuration that was loosened on the way here
// must not pass for a verified one.
func (h *Host) confirm(cs tls.ConnectionState) error {
	if len(cs.VerifiedChains) == 0 || cs.ServerName != h.Name {
		return errLoosened
	}
	h.observe(nil)
	return nil
}

// observe reports the outcome of a handshake.
func (h *Host) observe(err error) {
	switch {
	case h.reported:
	case err != nil:
		h.violation(h.failure(err))
	default:
		h.policy.client.emit(Event{Kind: EventSession, Domain: h.policy.Domain, Policy: h.policy, MX: h.Name})
	}
}

// Fallback says whether delivery to this MX may go on without TLS, or without
// verified TLS, after cause: [ErrNoSTARTTLS], the server's reply to STARTTLS as a
// [*net/textproto.Error], or the error of the handshake. Under mode enforce it
// returns an [*Error] with the [Result] of cause: go on to the next MX host (RFC
// 8461, Section 5: the message MUST NOT be delivered here). Nil means that no policy
// forbids it; a sender that demands TLS by itself does not fall back all the same.
//
// Under enforce and testing the failure is reported, and under enforce the next
// [Client.PolicyFor] for the domain looks for a newer policy first. So call it
// whenever TLS could not be had, also as a sender that would not fall back.
func (h *Host) AllowFallback(cause error) error {
	if h.policy.Mode == ModeNone {
		return nil
	}
	if cause == nil {
		cause = ErrNoSTARTTLS
	}
	failure := h.failure(cause)
	if !h.reported && !errors.Is(cause, context.Canceled) { // which is the sender's doing
		h.violation(failure)
	}
	if h.policy.Mode == ModeTesting {
		return nil
	}
	return failure
}

// failure puts cause into the terms of RFC 8460, Section 4.3.
func (h *Host) failure(cause error) *Error {
	e := &Error{Domain: h.policy.Domain, MX: h.Name, Err: cause}
	if errors.Is(cause, ErrNoSTARTTLS) {
		e.Result, e.Reason = ResultSTARTTLSNotSupported, "starttls-not-offered"
		return e
	}
	result, reason := certcheck.Classify(cause)
	e.Result, e.Reason = Result(result), reason
	return e
}

// violation reports a failure, and under mode enforce makes the domain due for a
// look.
func (h *Host) violation(e *Error) {
	p := h.policy
	if p.Mode == ModeEnforce && p.client != nil {
		p.client.makeDue(p)
	}
	p.client.emitError(EventSession, p, e)
}
