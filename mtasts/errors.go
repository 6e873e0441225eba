package mtasts

import (
	"errors"
	"strconv"
	"strings"
)

// Errors that callers branch on, always wrapped in an [*Error].
var (
	// ErrInvalidDomain: the domain passed to PolicyFor is malformed. Retrying
	// does not help.
	ErrInvalidDomain = errors.New("invalid domain")

	// ErrNotListed: an enforced policy does not list the MX host. Treat the
	// host as unreachable and go on in MX order (RFC 8461, Section 8.4).
	ErrNotListed = errors.New("the MX host is not listed in the policy")

	// ErrNoSTARTTLS: pass it to [Host.AllowFallback] when the MX does not offer
	// STARTTLS, or refuses it. A sender on any SMTP library joins it with the reply:
	//
	//	fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, err)
	ErrNoSTARTTLS = errors.New("no STARTTLS")

	// ErrClosed: the client has been closed.
	ErrClosed = errors.New("the client is closed")
)

// An Error is every error of this package, and the Cause of a [Policy]. It says
// which domain and MX it is about and what a report would call it.
//
// A violation of a policy is transient (RFC 8461, Section 5): answer the
// message's sender with a 4xx code, keep it in the queue, and call
// [Client.Recheck] before giving up for good.
type Error struct {
	// Domain is the policy domain; empty if what was given is no domain.
	Domain string

	// MX is the MX host that the error is about, if it is about one.
	MX string

	// Result is the result type for a TLSRPT report (RFC 8460, Section 4.3),
	// empty where none fits. Reason is a failure-reason-code: a short token of
	// this package's own, never text from the network.
	Result Result
	Reason string

	// Temporary means that the answer could not be found out, most often because
	// the DNS gave none, and may be had later. A strict sender defers on a
	// [Policy].Cause that has it. It does not tell 4xx from 5xx: a violation is never
	// Temporary and always calls for a 4xx, and only [ErrInvalidDomain] for a 5xx.
	Temporary bool

	// Err says more. It may hold text from the network in any form, in contrast
	// to what Error returns.
	Err error
}

// Error returns one line of printable ASCII, less than 1,000 octets long, that is
// safe in a log and in an SMTP reply whatever came from the network.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("mtasts: ")
	for _, s := range [...]string{e.Domain, e.MX, string(e.Result)} {
		if s != "" {
			b.WriteString(printable(s, 256))
			b.WriteString(": ")
		}
	}
	if e.Err != nil {
		if e.Reason == ReasonConnectionLost || e.Reason == ReasonNoAuthorities {
			b.WriteString(e.Reason + ": ") // which says more than "EOF", or "unknown authority"
		}
		b.WriteString(printable(e.Err.Error(), 400))
	} else {
		b.WriteString(printable(e.Reason, 64))
	}
	return b.String()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// EnhancedCode is the status code of RFC 3463 to answer the sender of the message with
// when it is deferred because of e, such as "4.7.5". Once the message fails for
// good, its first digit becomes a 5. Only an [ErrInvalidDomain] has a 5 from the start.
//
//	5.1.2  the domain is malformed
//	4.4.8  the policy does not list the MX host
//	4.7.5  TLS or a certificate has failed, or the policy cannot be had
//	4.4.3  the DNS has given no answer, or none in time
//	4.3.5  this machine has no CA certificates
//	4.3.2  the client is busy or closed
//	4.3.0  the store has failed
func (e *Error) EnhancedCode() string {
	switch e.Reason {
	case ReasonInvalidDomain:
		return "5.1.2"
	case ReasonMXNotListed:
		return "4.4.8"
	case ReasonDNSFailure, ReasonCallerLeft, ReasonNoRecord:
		return "4.4.3"
	case ReasonNoAuthorities:
		return "4.3.5"
	case ReasonBusy, ReasonClosed, ReasonClosing, ReasonAlreadyRunning:
		return "4.3.2"
	case ReasonStoreUnreadable, ReasonStoreUnwritable, ReasonStoreFull:
		return "4.3.0"
	}
	return "4.7.5"
}

// printable escapes what is not printable ASCII, and bounds the outcome.
func printable(s string, most int) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= most {
			b.WriteString("...")
			break
		}
		if ' ' <= r && r <= '~' {
			b.WriteRune(r)
		} else {
			escaped := strconv.QuoteRuneToASCII(r)
			b.WriteString(escaped[1 : len(escaped)-1])
		}
	}
	return b.String()
}
