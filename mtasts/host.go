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

// A Host is one attempt to deliver at one MX host: the decision about it, and the place
// where its outcome is noted. At most one outcome is reported for a Host, so ask
// [Policy.CheckMX] for another one for each connection that is tried. It may be used
// concurrently.
type Host struct {
	// Name is the MX host as lower-case A-labels without a final dot. If that is not a
	// host name, which only modes testing and none let pass, Name is what was passed
	// to [Policy.CheckMX], and may hold anything.
	Name string

	// Listed is false for a host that no mx pattern of the policy matches, which only
	// mode testing lets pass. Without a policy to apply it is true: every host will do.
	Listed bool

	policy   *Policy
	base     atomic.Pointer[tls.Config] // of the last TLSConfig
	refused  atomic.Pointer[error]      // by a check of that base
	reported atomic.Bool

	connection connection
}

// CheckMX decides about one MX host of the domain, by the name that stands in its
// MX record. Call it for each host when its turn comes and never filter the list
// beforehand (RFC 8461, Section 8.4).
//
// Under mode enforce, a host that no mx pattern matches is an [*Error] that wraps
// [ErrNotListed]: treat the host as unreachable and go on to the next. Under mode
// testing the host is used, and the outcome that is reported for it is the mismatch.
// Without a policy every host will do.
func (p *Policy) CheckMX(mx string) (*Host, error) {
	// Asked for first: with many domains they come from far, and meanwhile there is
	// something else to do.
	mode, patterns, index := p.Mode, p.MX, p.index
	name, err := sts.Name(mx)
	h := &Host{Name: name, Listed: true, policy: p}
	if err != nil {
		// Not a name that a policy can list. Without a policy it is still for
		// the caller to use, an address for example.
		h.Name = mx
	}
	if mode == ModeNone || err == nil && index.Match(patterns, name) {
		return h, nil
	}
	h.Listed = false
	if mode == ModeTesting {
		return h, nil
	}
	// RFC 8461, Section 4: at least one pattern MUST match the MX host.
	violation := h.notListed()
	h.report(violation)
	return nil, violation
}

// TLSConfig returns the configuration for the TLS session with the MX, a copy of
// base with what the policy demands. It never loosens base, and base stands for
// what the sender demands on its own: nil, or a base with InsecureSkipVerify,
// is a sender that takes any certificate where no policy speaks; a base without
// it verifies every MX, whatever the domain says. To bring roots of one's own
// without that demand, set both: &tls.Config{RootCAs: pool, InsecureSkipVerify: true}.
//
// In every mode ServerName is the MX host, so SNI names it (RFC 8461, Section
// 7.1). Under mode enforce TLS 1.2 or later is spoken (Section 7.2), and crypto/tls
// itself verifies the certificate against base.RootCAs (Section 4.2), so that the
// handshake fails even if the caller forgets all that follows. Under testing and none
// the handshake is as base says.
//
// If the handshake succeeds, pass the session to [Host.Verify]; if it fails, its error
// to [Host.AllowFallback]. An error of VerifyConnection or VerifyPeerCertificate in base,
// of a DANE check for example, ends the attempt in every mode. Give each connection a
// configuration of its own call; the returned value is the caller's.
func (h *Host) TLSConfig(base *tls.Config) *tls.Config {
	var cfg *tls.Config
	if base == nil {
		cfg = &tls.Config{InsecureSkipVerify: true} // opportunistic; enforce takes it back
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

// errLoosened is returned from a handshake whose configuration was changed after
// TLSConfig had made it: it must not pass for a verified one.
var errLoosened = errors.New("the tls.Config of an enforced policy was changed: it must keep ServerName and not set InsecureSkipVerify")

// note notes that a check of the base has failed.
func (h *Host) note(err error) error {
	if err != nil {
		h.refused.Store(&err)
	}
	return err
}

// serverName is what crypto/tls is to ask the MX for. RFC 6066, Section 3 allows no
// address in SNI; crypto/tls leaves one out, but not with a final dot.
func serverName(mx string) string {
	trimmed := strings.TrimRight(mx, ".")
	if _, err := netip.ParseAddr(strings.Trim(trimmed, "[]")); err == nil {
		return trimmed
	}
	if _, err := sts.Name(mx); err != nil {
		return "" // no name at all: a strict base fails on it, and any other sends no SNI
	}
	return mx
}

// Verify judges a TLS session with this MX, and is where a success is counted. Call it
// with the state of the connection after the first reply that has come inside TLS: only
// then is the handshake over on both sides, for in TLS 1.3 a server refuses a client
// after the client's Handshake has returned.
//
// Under mode enforce an [*Error] means that the session must not carry the message: go
// on to the next MX host. Under testing the outcome is reported and Verify returns nil;
// under none it only counts an [EventOpportunistic].
//
// Verify also judges sessions that were set up without [Host.TLSConfig], or for another
// message. A connection pool asks before it reuses a session: a policy may have come, or
// changed, since the session was opened in clear text or without verification. A
// connection in clear text has the zero state, which enforce refuses; nothing is reported
// of it, for it says nothing about what the MX offers. After an error, close that
// connection, and ask CheckMX for a new Host for the next.
//
// A session that crypto/tls has not verified is verified against the RootCAs of the base
// last passed to TLSConfig, or else the system's.
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

// AllowFallback says whether delivery to this MX may go on without TLS, or without
// verified TLS, after cause: [ErrNoSTARTTLS], alone or joined with the server's reply; or
// the error of the handshake. Under mode enforce it returns an [*Error] with the [Result]
// of cause: go on to the next MX host (RFC 8461, Section 5: the message MUST NOT be
// delivered here). Nil means that no policy forbids it; a sender that demands TLS on its
// own does not fall back all the same.
//
// In every mode AllowFallback returns an error if a check of the base passed to TLSConfig
// has failed: MTA-STS must not override DANE (RFC 8461, Section 2).
//
// The failure is reported, and under enforce the next
// [Client.PolicyFor] for the domain checks for a newer policy first. So call it
// whenever TLS could not be had, also as a sender that would not fall back.
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
	case errors.Is(cause, context.Canceled): // which is the sender's doing
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
