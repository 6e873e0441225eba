package fetch

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Kind is what a caller can conclude from a failed Get.
type Kind int

const (
	// KindTransport is an answer that did not come, or not whole: the name or
	// the address, the connection, the TLS session, the time limit.
	KindTransport Kind = iota + 1

	// KindCertificate is a host that could not prove to be the policy host,
	// which RFC 8460 calls sts-webpki-invalid.
	KindCertificate

	// KindAnswer is an answer of the policy host that is no policy file: its
	// status, media type, content coding or length.
	KindAnswer
)

// An Error is why a Get failed.
type Error struct {
	Kind Kind
	Host string // the policy host
	Err  error  // the cause, never nil
}

// Error names the host and the cause, in little more than 512 bytes of
// printable ASCII. The text of Err itself may be longer and hold what a stranger sent.
func (e *Error) Error() string {
	return printable("policy host " + e.Host + ": " + e.Err.Error())
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// newError is the Error for the failure err of host.
func newError(host string, err error) *Error {
	refused, ok := errors.AsType[*Error](err)
	if ok {
		return &Error{Kind: refused.Kind, Host: host, Err: refused.Err}
	}
	kind := KindTransport
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		kind = KindCertificate
	}
	return &Error{Kind: kind, Host: host, Err: err}
}

// refuse is the Error for an answer that is no policy file.
func refuse(format string, args ...any) error {
	return &Error{Kind: KindAnswer, Err: fmt.Errorf(format, args...)}
}

// quote is for words of a stranger's in a sentence of ours.
func quote(s string) string {
	const limit = 80
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return strconv.QuoteToASCII(s)
}

// printable returns s with what is not printable ASCII escaped as in a Go
// string, and cut where it gets long.
func printable(s string) string {
	const limit = 512
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= limit {
			b.WriteString("...")
			break
		}
		if r >= ' ' && r <= '~' {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}
