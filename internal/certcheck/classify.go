package certcheck

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"syscall"
	"time"
)

// The result types of RFC 8460, Section 4.3.1.
const (
	noSTARTTLS   = "starttls-not-supported"
	hostMismatch = "certificate-host-mismatch"
	expired      = "certificate-expired"
	notTrusted   = "certificate-not-trusted"
	failure      = "validation-failure"
)

// Classify puts the error of a TLS client, or of the SMTP client around it,
// into words that can be reported: a result type of RFC 8460, Section 4.3, and
// a failure-reason-code. Both are empty if err is nil.
//
// A reason is a short token of lower-case letters, digits and '-' from the
// list below, never text of the peer's, and is empty where it could only
// repeat the result. A certificate's fault comes before any other that err
// wraps.
//
//	starttls-not-supported     smtp-NNN: the reply to STARTTLS, "smtp-454";
//	                           smtp-reply: one with a code that is none
//	certificate-host-mismatch  no-dns-id: no DNS SAN at all (a common name is none);
//	                           not-a-dns-name: the server was asked for by an address
//	certificate-expired
//	certificate-not-trusted    self-signed, unknown-authority, certificate-not-yet-valid,
//	                           issuer-not-a-ca, issuer-name-mismatch, issuer-constraint,
//	                           chain-too-long, wrong-key-usage, no-valid-chain,
//	                           unhandled-critical-extension, insecure-signature,
//	                           invalid-chain
//	validation-failure         no-certificate-authorities: the system's could not be read;
//	                           tls-alert-NN: an alert, received or sent, by its IANA number;
//	                           not-tls, canceled, timeout, dns-failure, connect-failed,
//	                           connection-lost, unspecified
func Classify(err error) (result, reason string) {
	if err == nil {
		return "", ""
	}
	if result, reason = classifyCertificate(err); result != "" {
		return result, reason
	}
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		if reply.Code < 200 || reply.Code > 599 {
			return noSTARTTLS, "smtp-reply"
		}
		return noSTARTTLS, "smtp-" + strconv.Itoa(reply.Code)
	}
	return failure, failureReason(err)
}

// classifyCertificate returns "" for an error that is not about a certificate.
func classifyCertificate(err error) (result, reason string) {
	var (
		wrapper    *tls.CertificateVerificationError
		hostname   x509.HostnameError
		invalid    x509.CertificateInvalidError
		unknown    x509.UnknownAuthorityError
		constraint x509.ConstraintViolationError
		critical   x509.UnhandledCriticalExtension
		insecure   x509.InsecureAlgorithmError
		noRoots    x509.SystemRootsError
	)
	verification := errors.As(err, &wrapper)
	switch {
	case errors.Is(err, errNotDNSName):
		return hostMismatch, "not-a-dns-name"
	case errors.As(err, &hostname):
		if hostname.Certificate != nil && len(hostname.Certificate.DNSNames) == 0 {
			return hostMismatch, "no-dns-id"
		}
		return hostMismatch, ""
	case errors.As(err, &invalid):
		return classifyInvalid(invalid)
	case errors.As(err, &unknown):
		if selfSigned(unknown.Cert, wrapper) {
			return notTrusted, "self-signed"
		}
		return notTrusted, "unknown-authority"
	case errors.As(err, &constraint):
		return notTrusted, "issuer-constraint"
	case errors.As(err, &critical):
		return notTrusted, "unhandled-critical-extension"
	case errors.As(err, &insecure):
		return notTrusted, "insecure-signature"
	case errors.As(err, &noRoots):
		// The fault is this machine's: nothing is wrong with the certificate.
		return failure, "no-certificate-authorities"
	case verification:
		return notTrusted, "invalid-chain"
	}
	return "", ""
}

func classifyInvalid(invalid x509.CertificateInvalidError) (result, reason string) {
	switch invalid.Reason {
	case x509.Expired:
		// Go calls a certificate expired too that is not valid yet. Validity
		// was judged a moment ago: as its end has not come even now, it was
		// the beginning that had not come then.
		if invalid.Cert != nil && !time.Now().After(invalid.Cert.NotAfter) {
			return notTrusted, "certificate-not-yet-valid"
		}
		return expired, ""
	case x509.NotAuthorizedToSign:
		return notTrusted, "issuer-not-a-ca"
	case x509.NameMismatch:
		return notTrusted, "issuer-name-mismatch"
	case x509.CANotAuthorizedForThisName, x509.UnconstrainedName, x509.TooManyConstraints,
		x509.NameConstraintsWithoutSANs:
		return notTrusted, "issuer-constraint"
	case x509.TooManyIntermediates:
		return notTrusted, "chain-too-long"
	case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
		return notTrusted, "wrong-key-usage"
	case x509.NoValidChains:
		return notTrusted, "no-valid-chain"
	}
	return notTrusted, "invalid-chain"
}

// selfSigned reports whether cert, at which the chain broke off, is a leaf
// that names itself as its issuer. A root that came with the chain does so
// too, but is only unknown.
func selfSigned(cert *x509.Certificate, chain *tls.CertificateVerificationError) bool {
	if cert == nil || !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		return false
	}
	return chain == nil || len(chain.UnverifiedCertificates) == 0 || cert.Equal(chain.UnverifiedCertificates[0])
}

// failureReason names what kept a session from coming about, certificates
// aside.
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
		return "not-tls"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &dns):
		return "dns-failure"
	case errors.As(err, &op) && op.Op == "dial":
		return "connect-failed"
	case errors.As(err, &op) && (op.Op == "read" || op.Op == "write"),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection-lost"
	}
	return "unspecified"
}

// alert returns the number of the TLS alert that err is about. Outside QUIC,
// crypto/tls keeps the type of an alert to itself, but an AlertError of the
// same number has the same text.
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
