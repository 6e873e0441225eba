package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// A Host is one attempt to deliver to one MX host: the decision about it, and its outcome.
// The client reports at most one outcome of a Host, so call [Policy.CheckMX] again for each
// connection. A Host may be used concurrently.
type Host struct {
	// Name is the MX host as lower-case A-labels without a final dot. If it is not a host
	// name, which only modes testing and none accept, Name is what was passed to
	// [Policy.CheckMX], and may hold any octets.
	Name string

	// Listed reports whether an mx pattern of the policy matches the host. Only mode
	// testing accepts a host that is not listed. Without a policy, Listed is true.
	Listed bool

	policy   *Policy
	base     atomic.Pointer[tls.Config] // of the last TLSConfig
	refused  atomic.Pointer[error]      // the error of a check in base
	reported atomic.Bool

	connection connection
}

// CheckMX decides about one MX host of the domain, by its name in the MX record. Call it for
// each host when its turn comes. Never filter the list of hosts beforehand (RFC 8461, Section
// 8.4).
//
// Under mode enforce, CheckMX returns an [*Error] that wraps [ErrNotListed] if no mx pattern
// matches the host: treat it as unreachable, and go on to the next. Mode testing accepts such
// a host, and its outcome is the mismatch. Without a policy, CheckMX accepts any host.
func (p *Policy) CheckMX(mx string) (*Host, error) {
	name, err := sts.Name(mx)
	h := &Host{Name: name, Listed: true, policy: p}
	if err != nil {
		h.Name = mx // no pattern can match it
	}
	if p.Mode == ModeNone || err == nil && sts.Match(p.MX, name) {
		return h, nil
	}
	h.Listed = false
	if p.Mode == ModeTesting {
		return h, nil
	}
	// RFC 8461, Section 4: at least one pattern MUST match the MX host.
	violation := h.notListed()
	h.report(violation)
	return nil, violation
}

// TLSConfig returns a copy of base with what the policy demands of a TLS session with the MX
// host. Call it for each connection. The result belongs to the caller, and is never looser
// than base.
//
// base is what the sender itself demands. With nil, or with InsecureSkipVerify, the sender
// accepts any certificate where no policy enforces. Otherwise the sender verifies every MX
// host. A sender with roots of its own but without that demand sets both:
// &tls.Config{RootCAs: pool, InsecureSkipVerify: true}.
//
// In every mode ServerName is the MX host, so that SNI names it (RFC 8461, Section 7.1).
// Mode enforce requires TLS 1.2 or later (Section 7.2), and crypto/tls verifies the
// certificate against base.RootCAs (Section 4.2). So the handshake fails even if the caller
// ignores what follows. Under testing and none, the handshake is as base says.
//
// If the handshake succeeds, pass the session to [Host.Verify]. If it fails, pass its error
// to [Host.AllowFallback]. An error of VerifyConnection or VerifyPeerCertificate in base, for
// example of a DANE check, ends the attempt in every mode.
func (h *Host) TLSConfig(base *tls.Config) *tls.Config {
	var cfg *tls.Config
	if base == nil {
		cfg = &tls.Config{InsecureSkipVerify: true} // unless the policy enforces: see below
	} else {
		cfg = base.Clone()
	}
	h.base.Store(base)
	cfg.ServerName = serverName(h.Name)
	if check := cfg.VerifyPeerCertificate; check != nil {
		cfg.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			return h.note(check(raw, chains))
		}
	}
	check, enforce := cfg.VerifyConnection, h.policy.enforces()
	if enforce {
		cfg.InsecureSkipVerify = false
		cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	}
	if check != nil || enforce {
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			if check != nil {
				if err := h.note(check(cs)); err != nil {
					return err
				}
			}
			if enforce && (len(cs.VerifiedChains) == 0 || cs.ServerName != h.Name) {
				return errLoosened
			}
			return nil
		}
	}
	return cfg
}

// errLoosened fails the handshake if the caller has changed the result of TLSConfig so that
// crypto/tls does not verify the MX host.
var errLoosened = errors.New("the tls.Config of an enforced policy was changed: it must keep ServerName and not set InsecureSkipVerify")

// note notes the error of a check in base.
func (h *Host) note(err error) error {
	if err != nil {
		h.refused.Store(&err)
	}
	return err
}

// serverName returns the ServerName for an MX host. RFC 6066, Section 3, allows no address
// in SNI. crypto/tls omits one, but not one with a final dot.
func serverName(mx string) string {
	trimmed := strings.TrimRight(mx, ".")
	if _, err := netip.ParseAddr(strings.Trim(trimmed, "[]")); err == nil {
		return trimmed
	}
	if _, err := sts.Name(mx); err != nil {
		return "" // no SNI; a base that verifies fails
	}
	return mx
}

// Verify judges a TLS session with the MX host, and reports the outcome. Call it after the
// first reply inside TLS: in TLS 1.3 a server can refuse the client after the client's
// handshake has returned.
//
// Under mode enforce, an [*Error] means that the session must not carry the message: go on to
// the next MX host. Under mode testing, Verify reports a failure and returns nil. Under mode
// none it reports an [EventOpportunistic].
//
// The session may have been set up without [Host.TLSConfig], or for another message: see
// Connection pools in the package documentation. Pass the zero state for a connection in
// clear text. Mode enforce refuses it. Nothing is reported, because the state does not show
// what the MX host offers. After an error, close the connection, and call CheckMX again
// before the next.
//
// If crypto/tls has not verified the session, Verify verifies it against the RootCAs of the
// base that was last passed to TLSConfig, or else the system's.
func (h *Host) Verify(cs tls.ConnectionState) error {
	mode := h.policy.Mode
	if mode == ModeNone {
		if cs.HandshakeComplete {
			h.emit(nil)
		}
		return nil
	}
	if !cs.HandshakeComplete {
		if mode == ModeTesting {
			return nil
		}
		return h.failure(errNotEncrypted)
	}
	var failure *Error
	if !h.Listed {
		failure = h.notListed()
	} else if err := h.judge(cs); err != nil {
		failure = h.failure(err)
	}
	h.report(failure)
	if failure == nil || mode == ModeTesting {
		return nil
	}
	return failure
}

// AllowFallback says whether delivery to the MX host may go on without TLS, or without
// verified TLS. cause is [ErrNoSTARTTLS], alone or joined with the reply, or the error of the
// handshake. Nil counts as ErrNoSTARTTLS.
//
// Under mode enforce, AllowFallback returns an [*Error] with the [Result] of cause: go on to
// the next MX host (RFC 8461, Section 5: the message MUST NOT be delivered here). Nil means
// that no policy forbids the fallback; the sender may still decide against it.
//
// In every mode, AllowFallback returns an error if a check in the base passed to TLSConfig
// has failed: MTA-STS must not override DANE (RFC 8461, Section 2).
//
// AllowFallback reports the failure. Under enforce, the next
// [Client.PolicyFor] for the domain first checks for a newer policy. So call it for each TLS
// failure, even if the sender never falls back.
func (h *Host) AllowFallback(cause error) error {
	if refused := h.refused.Load(); refused != nil {
		e := &Error{Domain: h.policy.Domain, MX: h.Name, Result: ResultValidationFailure,
			Reason: ReasonSenderCheck, Err: *refused}
		h.emit(e)
		return e
	}
	if cause == nil {
		cause = ErrNoSTARTTLS
	}
	failure := h.failure(cause)
	switch {
	case errors.Is(cause, context.Canceled): // the sender ended it: no outcome
	case !h.Listed:
		h.report(h.notListed())
	default:
		h.report(failure)
	}
	if h.policy.Mode == ModeTesting || h.policy.Mode == ModeNone {
		return nil
	}
	return failure
}
