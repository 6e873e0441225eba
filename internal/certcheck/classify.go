package certcheck

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"syscall"
)

// The result types of RFC 8460, Section 4.3.1.
const (
	noSTARTTLS   = "starttls-not-supported"
	hostMismatch = "certificate-host-mismatch"
	expired      = "certificate-expired"
	notTrusted   = "certificate-not-trusted"
	failure      = "validation-failure"
)

// The result types of RFC 8460, Section 4.3.2.2, that a fetch can have.
const (
	fetchError    = "sts-policy-fetch-error"
	webPKIInvalid = "sts-webpki-invalid"
)

// Classify returns the result type of RFC 8460, Section 4.3, and the
// failure-reason-code for an error of a TLS client, or of the SMTP client around it. The
// reason is one of the Reason constants, "smtp-NNN" or "tls-alert-N". It is empty where
// it would repeat the result. Both are empty if err is nil.
//
// A fault of a certificate takes precedence over anything else that err wraps.
func Classify(err error) (result, reason string) {
	if err == nil {
		return "", ""
	}
	if result, reason, _ = certificateFault(err); result != "" {
		return result, reason
	}
	if result, reason = textFault(err); result != "" {
		return result, reason
	}
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		if reply.Code < 200 || reply.Code > 599 {
			return noSTARTTLS, ReasonSMTPReply
		}
		return noSTARTTLS, "smtp-" + strconv.Itoa(reply.Code)
	}
	return failure, failureReason(err)
}

// ClassifyWith is Classify for a client that trusts roots; nil stands for the system's.
// If roots is empty, every authority is unknown and the server is not to blame:
// ReasonNoAuthorities replaces ReasonUnknownAuthority and ReasonSelfSigned.
func ClassifyWith(err error, roots *x509.CertPool) (result, reason string) {
	result, reason = Classify(err)
	if (reason == ReasonUnknownAuthority || reason == ReasonSelfSigned) && empty(roots) {
		return failure, ReasonNoAuthorities
	}
	return result, reason
}

// ClassifyFetch is ClassifyWith for a policy file that could not be fetched. Its results are
// those of RFC 8460, Section 4.3.2.2.
func ClassifyFetch(err error, roots *x509.CertPool) (result, reason string) {
	result, reason = ClassifyWith(err, roots)
	switch {
	case reason == ReasonNoAuthorities: // the fault of this machine, and not of the host
		return failure, reason
	case strings.HasPrefix(result, "certificate-"):
		return webPKIInvalid, cmp.Or(reason, result)
	}
	return fetchError, reason
}

// empty reports whether nothing can be verified against roots. On Linux and the BSDs, a
// system without any file of roots has an empty pool, and reports no error.
func empty(roots *x509.CertPool) bool {
	if roots == nil {
		system, err := x509.SystemCertPool()
		if err != nil {
			return true
		}
		roots = system
	}
	return roots.Equal(x509.NewCertPool())
}

// failureReason is the reason for a failure that no certificate caused.
func failureReason(err error) string {
	var (
		record  tls.RecordHeaderError
		timeout net.Error
		dns     *net.DNSError
		op      *net.OpError
	)
	if number, ok := alert(err); ok {
		return "tls-alert-" + strconv.Itoa(number)
	}
	switch {
	case errors.As(err, &record):
		return ReasonNotTLS
	case errors.Is(err, context.Canceled):
		return ReasonCanceled
	case errors.As(err, &timeout) && timeout.Timeout():
		return ReasonTimeout
	case errors.As(err, &dns):
		return ReasonDNSFailure
	case errors.As(err, &op) && op.Op == "dial":
		return ReasonConnectFailed
	case errors.As(err, &op) && (op.Op == "read" || op.Op == "write"),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ReasonConnectionLost
	}
	return ReasonUnspecified
}

// alert returns the number of the TLS alert that err reports. Outside QUIC, crypto/tls
// reports an alert by an unexported type. A tls.AlertError of the same number has the
// same text.
func alert(err error) (number int, ok bool) {
	if quic, ok := errors.AsType[tls.AlertError](err); ok {
		return int(quic), true
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Err == nil || op.Op != "remote error" && op.Op != "local error" {
		return 0, false
	}
	text := op.Err.Error()
	for number := range 256 {
		if tls.AlertError(number).Error() == text {
			return number, true
		}
	}
	return 0, false
}
