package mtasts

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/certcheck"
)

var (
	errNotEncrypted = errors.New("the session is not encrypted, or its handshake is not complete")
	errTLSVersion   = errors.New("the session is older than TLS 1.2")
)

// judge returns what is wrong with a complete session, or nil.
func (h *Host) judge(cs tls.ConnectionState) error {
	if cs.Version < tls.VersionTLS12 { // RFC 8461, Section 7.2
		return fmt.Errorf("%w: %s", errTLSVersion, tls.VersionName(cs.Version))
	}
	now := time.Now()
	if base := h.base.Load(); base != nil && base.Time != nil {
		now = base.Time()
	}
	if cs.ServerName == h.Name && stillValid(cs.VerifiedChains, now) {
		return nil
	}
	return certcheck.Verify(cs.PeerCertificates, h.Name, h.roots(), now)
}

// roots returns the roots for the MX host; nil means the system's.
func (h *Host) roots() *x509.CertPool {
	if base := h.base.Load(); base != nil {
		return base.RootCAs
	}
	return nil
}

// stillValid reports whether a chain that crypto/tls has verified is valid at now.
func stillValid(chains [][]*x509.Certificate, now time.Time) bool {
	for _, chain := range chains {
		valid := len(chain) > 0
		for _, cert := range chain {
			valid = valid && !now.Before(cert.NotBefore) && !now.After(cert.NotAfter)
		}
		if valid {
			return true
		}
	}
	return false
}

// failure returns the violation for cause, in the terms of RFC 8460, Section 4.3.
func (h *Host) failure(cause error) *Error {
	e := &Error{Domain: h.policy.Domain, MX: h.Name, Err: &violationCause{cause}}
	result, reason := certcheck.ClassifyWith(cause, h.roots())
	inTLS := strings.HasPrefix(result, "certificate-") || strings.HasPrefix(reason, "tls-alert-")
	switch {
	case errors.Is(cause, ErrNoSTARTTLS) && !inTLS: // a sender may have joined it with a TLS error
		e.Result, e.Reason = ResultSTARTTLSNotSupported, noSTARTTLS(cause)
	case errors.Is(cause, errNotEncrypted):
		e.Result, e.Reason = ResultSTARTTLSNotSupported, ReasonNotEncrypted
	case errors.Is(cause, errTLSVersion):
		e.Result, e.Reason = ResultValidationFailure, ReasonTLSVersion
	case errors.Is(cause, errLoosened):
		e.Result, e.Reason = ResultValidationFailure, ReasonConfigChanged
	default:
		e.Result, e.Reason = Result(result), reason
		h.policy.client.checkAuthorities(e)
	}
	return e
}

// checkAuthorities reports, once, if e means that this machine has no CA certificates.
func (c *Client) checkAuthorities(e *Error) {
	if e.Reason != ReasonNoAuthorities || c == nil || c.noAuthorities.Swap(true) {
		return
	}
	c.log.Error("mtasts: this machine has no CA certificates, so no policy host and no MX host can be verified; install them (on most systems the package ca-certificates), or set RootCAs", "error", e)
	c.emitError(EventSystem, nil, e)
}

// noSTARTTLS returns the reason for a cause that is ErrNoSTARTTLS, which a sender may have
// joined with the reply or with the error of its SMTP library.
func noSTARTTLS(cause error) string {
	if reply, ok := errors.AsType[*textproto.Error](cause); ok {
		_, reason := certcheck.Classify(reply)
		return reason
	}
	if strings.HasSuffix(cause.Error(), ErrNoSTARTTLS.Error()) {
		return ReasonSTARTTLSNotOffered
	}
	return ReasonSTARTTLSUnavailable
}

// notListed returns the violation of a host that no pattern matches. RFC 8460 has no result
// type of its own for it.
func (h *Host) notListed() *Error {
	p := h.policy
	const most = 5
	patterns := cmp.Or(strings.Join(p.MX[:min(len(p.MX), most)], ", "), "none")
	if more := len(p.MX) - most; more > 0 {
		patterns += fmt.Sprintf(" and %d more", more)
	}
	return &Error{Domain: p.Domain, MX: printable(h.Name, 256), Result: ResultValidationFailure,
		Reason: ReasonMXNotListed, Err: fmt.Errorf("%w, which allows %s", ErrNotListed, printable(patterns, 300))}
}

// report reports the outcome of the attempt, unless one was reported. A nil failure is a
// success. After a violation of an enforced policy the next caller waits for a check.
func (h *Host) report(failure *Error) {
	p := h.policy
	if failure != nil && p.enforces() && p.client != nil {
		p.client.violated(p)
	}
	h.emit(failure)
}

func (h *Host) emit(failure *Error) {
	e, ok := h.event()
	if !ok {
		return
	}
	if failure != nil {
		e.MX, e.Result, e.Reason, e.Err = failure.MX, failure.Result, failure.Reason, failure
	}
	h.policy.client.emit(e)
}

// describe returns the text of err. It names the issuer if an issuer's certificate is at
// fault; crypto/x509 does not say which certificate is.
func describe(err error) string {
	if issuer := certcheck.IssuerAtFault(err); issuer != "" {
		return "issuer " + issuer + ": " + err.Error()
	}
	return err.Error()
}

// A violationCause hides an SMTP reply in err from errors.As. A violation is transient (RFC
// 8461, Section 5), so a sender that looks for a 5xx reply must find none. errors.Is works as
// on err. errors.As finds only a *tls.CertificateVerificationError.
type violationCause struct{ err error }

func (v *violationCause) Error() string        { return describe(v.err) }
func (v *violationCause) Is(target error) bool { return errors.Is(v.err, target) }

func (v *violationCause) Unwrap() error {
	if c, ok := errors.AsType[*tls.CertificateVerificationError](v.err); ok {
		return c
	}
	return nil
}
