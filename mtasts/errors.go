package mtasts

import (
	"errors"
	"strconv"
	"strings"
)

// Errors that callers branch on. They always come wrapped in an [*Error].
var (
	// ErrInvalidDomain: the domain is malformed. Trying again does not help.
	ErrInvalidDomain = errors.New("invalid domain")

	// ErrNotListed: an enforced policy does not list the MX host. Treat the host as
	// unreachable, and go on in MX order (RFC 8461, Section 8.4).
	ErrNotListed = errors.New("the MX host is not listed in the policy")

	// ErrNoSTARTTLS: the MX host does not offer STARTTLS, or refuses it. Pass it to
	// [Host.AllowFallback], joined with the reply of the host or the error of any SMTP
	// library:
	//
	//	fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, err)
	ErrNoSTARTTLS = errors.New("no STARTTLS")

	// ErrClosed: the client has been closed.
	ErrClosed = errors.New("the client is closed")
)

// An Error is any error of this package, and the Cause of a [Policy].
//
// A violation of a policy is transient (RFC 8461, Section 5): answer with a 4xx code, keep
// the message in the queue, and call [Client.Recheck] before it fails for good.
type Error struct {
	// Domain is the policy domain, empty if the error is not about one.
	Domain string

	// MX is the MX host, empty if the error is not about one.
	MX string

	// Result is the result type for a TLSRPT report (RFC 8460, Section 4.3), empty if
	// none fits.
	//
	// Reason is a failure-reason-code (Section 4.4), and never text from the network:
	// one of the Reason constants; smtp-NNN, the reply code to STARTTLS; or tls-alert-NN,
	// the number of a TLS alert that was sent or received. It is empty if Result is enough.
	Result Result
	Reason string

	// Temporary means that there is no answer now, but may be one later. Most often the
	// DNS gave none. A strict sender defers if a [Policy].Cause is Temporary. It does not
	// distinguish 4xx from 5xx: a violation is never Temporary and always needs a 4xx,
	// and only [ErrInvalidDomain] needs a 5xx.
	Temporary bool

	// Err is the underlying error. Unlike the text that Error returns, it may hold
	// untrusted text as it came from the network.
	Err error
}

// Error returns one line of printable ASCII, shorter than 1,000 octets. It is safe in a log
// and in an SMTP reply, whatever came from the network.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("mtasts: ")
	for _, s := range [...]string{e.Domain, e.MX, string(e.Result)} {
		if s != "" {
			b.WriteString(printable(s, 256) + ": ")
		}
	}
	switch {
	case e.Err == nil:
		b.WriteString(printable(e.Reason, 64))
		return b.String()
	case e.Reason == ReasonConnectionLost || e.Reason == ReasonNoAuthorities:
		b.WriteString(e.Reason + ": ") // says more than "EOF" or "unknown authority"
	}
	b.WriteString(printable(e.Err.Error(), 400))
	return b.String()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// EnhancedCode returns the status code of RFC 3463 for a message that is deferred because of
// e, such as "4.7.5". If the message fails for good, the first digit becomes a 5, and 4.4.3
// and 4.3.0 become 5.4.7 (delivery time expired). Only [ErrInvalidDomain] has a 5 at once.
//
//	5.1.2  the domain is malformed
//	4.4.8  the policy does not list the MX host
//	4.7.5  TLS or a certificate failed, or the policy could not be fetched
//	4.4.3  the DNS gave no answer, or the caller's context ended first
//	4.3.5  this machine has no CA certificates
//	4.3.2  the client is busy or closed
//	4.3.0  the store failed
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

// printable escapes all but printable ASCII, and truncates the result to about most octets.
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
