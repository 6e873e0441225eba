package certcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

func TestClassify(t *testing.T) {
	leaf := testpki.Must(testpki.SelfSigned(mx)).Leaf
	for _, test := range []struct {
		err            error
		result, reason string
	}{
		{nil, "", ""},
		{errors.New("STARTTLS\r\nresult: success"), failure, "unspecified"},

		{&textproto.Error{Code: 454, Msg: "TLS not available"}, noSTARTTLS, "smtp-454"},
		{&textproto.Error{Code: 502}, noSTARTTLS, "smtp-502"},
		{&textproto.Error{Code: 999}, noSTARTTLS, "smtp-reply"},
		{&textproto.Error{Code: -1}, noSTARTTLS, "smtp-reply"},

		{x509.HostnameError{Host: mx}, hostMismatch, ""},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: mx}, hostMismatch, "no-dns-id"},
		{x509.UnknownAuthorityError{}, notTrusted, "unknown-authority"},
		{x509.UnknownAuthorityError{Cert: leaf}, notTrusted, "self-signed"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, expired, ""},
		{x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}, notTrusted, "issuer-not-a-ca"},
		{x509.CertificateInvalidError{Reason: x509.NameMismatch}, notTrusted, "issuer-name-mismatch"},
		{x509.CertificateInvalidError{Reason: x509.UnconstrainedName}, notTrusted, "issuer-constraint"},
		{x509.CertificateInvalidError{Reason: x509.TooManyConstraints}, notTrusted, "issuer-constraint"},
		{x509.CertificateInvalidError{Reason: x509.TooManyIntermediates}, notTrusted, "chain-too-long"},
		{x509.CertificateInvalidError{Reason: x509.CANotAuthorizedForExtKeyUsage}, notTrusted, "wrong-key-usage"},
		{x509.CertificateInvalidError{Reason: x509.NoValidChains}, notTrusted, "no-valid-chain"},
		{x509.CertificateInvalidError{Reason: 1000}, notTrusted, "invalid-chain"},
		{x509.ConstraintViolationError{}, notTrusted, "issuer-not-a-ca"},
		{x509.UnhandledCriticalExtension{}, notTrusted, "unhandled-critical-extension"},
		{x509.InsecureAlgorithmError(x509.SHA1WithRSA), notTrusted, "insecure-signature"},
		{&tls.CertificateVerificationError{Err: errors.New("new in a later Go")}, notTrusted, "invalid-chain"},
		{x509.SystemRootsError{Err: os.ErrNotExist}, failure, "no-certificate-authorities"},

		{tls.AlertError(70), failure, "tls-alert-70"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, failure, "tls-alert-40"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: no such alert")}, failure, "unspecified"},
		{&net.OpError{Op: "remote error"}, failure, "unspecified"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, failure, "not-tls"},

		{context.Canceled, failure, "canceled"},
		{context.DeadlineExceeded, failure, "timeout"},
		{os.ErrDeadlineExceeded, failure, "timeout"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, failure, "timeout"},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, failure, "dns-failure"},
		{&net.DNSError{IsTimeout: true}, failure, "timeout"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, failure, "connect-failed"},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, failure, "connection-lost"},
		{io.EOF, failure, "connection-lost"},
		{io.ErrUnexpectedEOF, failure, "connection-lost"},
		{net.ErrClosed, failure, "connection-lost"},
	} {
		for _, err := range []error{test.err, fmt.Errorf("mx.example.com: %w", test.err)} {
			if test.err == nil {
				err = nil
			}
			if result, reason := Classify(err); result != test.result || reason != test.reason {
				t.Errorf("%T %v: %q, %q, want %q, %q", test.err, err, result, reason, test.result, test.reason)
			}
		}
	}
}

// An error may wrap several failures of an attempt. That of the certificate is reported.
func TestACertificateFaultTakesPrecedence(t *testing.T) {
	err := errors.Join(io.EOF, &textproto.Error{Code: 454}, x509.HostnameError{Host: mx})
	if result, _ := Classify(err); result != hostMismatch {
		t.Errorf("%q", result)
	}
}

// These errors come from crypto/tls itself.
func TestClassifyErrorsOfCryptoTLS(t *testing.T) {
	cert := testpki.Must(testpki.SelfSigned(mx))
	for name, test := range map[string]struct {
		server func(net.Conn)
		reason string
	}{
		"TLS 1.1 only": {func(conn net.Conn) {
			tls.Server(conn, &tls.Config{
				Certificates: []tls.Certificate{cert},
				MinVersion:   tls.VersionTLS11,
				MaxVersion:   tls.VersionTLS11,
			}).Handshake()
		}, "tls-alert-70"},
		"no certificate for the name": {func(conn net.Conn) {
			tls.Server(conn, &tls.Config{
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil },
			}).Handshake()
		}, "tls-alert-112"},
		"an alert of one byte": {func(conn net.Conn) {
			conn.Write([]byte{21, 3, 3, 0, 1, 0})
			io.Copy(io.Discard, conn)
		}, "tls-alert-10"},
		"plain text": {func(conn net.Conn) {
			io.WriteString(conn, "454 4.7.0 TLS not available\r\n")
			io.Copy(io.Discard, conn)
		}, "not-tls"},
		"a version that was not offered": {func(conn net.Conn) {
			hello := append([]byte{22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1}, make([]byte, 36)...) // TLS 1.0
			conn.Write(hello)
			io.Copy(io.Discard, conn)
		}, "unsupported-tls-version"},
		"closed": {func(conn net.Conn) { io.Copy(io.Discard, io.LimitReader(conn, 5)) }, "connection-lost"},
		"closed, and all was read": {func(conn net.Conn) {
			conn.Read(make([]byte, 1<<16))
		}, "connection-lost"},
		"reset": {func(conn net.Conn) {
			conn.Read(make([]byte, 16))
			conn.(*net.TCPConn).SetLinger(0)
		}, "connection-lost"},
		"cut within a record": {func(conn net.Conn) {
			conn.Read(make([]byte, 1<<16))
			conn.Write([]byte{22, 3, 3, 0, 100, 2})
		}, "connection-lost"},
		"close_notify": {func(conn net.Conn) {
			conn.Read(make([]byte, 1<<16))
			conn.Write([]byte{21, 3, 3, 0, 2, 1, 0})
			io.Copy(io.Discard, conn)
		}, "connection-lost"},
		"silence": {func(conn net.Conn) { io.Copy(io.Discard, conn) }, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			deadline := time.Minute
			if test.reason == "timeout" {
				deadline = 20 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			conn := connect(t, test.server)
			err := tls.Client(conn, &tls.Config{ServerName: mx}).HandshakeContext(ctx)
			if result, reason := Classify(err); result != failure || reason != test.reason {
				t.Errorf("%q, %q, want %q: %v", result, reason, test.reason, err)
			}
		})
	}
}

// The sender may itself close the connection.
func TestClassifyAConnectionClosedLocally(t *testing.T) {
	pipe, far := net.Pipe()
	far.Close()
	for name, conn := range map[string]net.Conn{
		"TCP":          connect(t, func(conn net.Conn) { io.Copy(io.Discard, conn) }),
		"pipe":         pipe,
		"pipe's other": far,
	} {
		if name == "TCP" {
			conn.Close()
		}
		err := tls.Client(conn, &tls.Config{ServerName: mx}).Handshake()
		if result, reason := Classify(err); result != failure || reason != ReasonConnectionLost {
			t.Errorf("%s: %q, %q: %v", name, result, reason, err)
		}
	}
}

// These occur only in a client that still offers the RSA key exchange.
func TestClassifyErrorsOfTheRSAKeyExchange(t *testing.T) {
	f := forger{testpki.Must(testpki.New())}
	small := rsaKey(768)
	for reason, cert := range map[string]tls.Certificate{
		ReasonUnsupportedKey: withKey(issue(f.CA), fakeKey{rsaKey(2048)}),
		ReasonKeyTooSmall:    withKey(f.leaf(key(small)), fakeKey{small}),
	} {
		client := tls.Client(connect(t, func(conn net.Conn) {
			tls.Server(conn, rsaKeyExchange(&tls.Config{Certificates: []tls.Certificate{cert}})).Handshake()
		}), rsaKeyExchange(&tls.Config{ServerName: mx, RootCAs: f.Pool()}))
		err := client.Handshake()
		if result, got := Classify(err); result != notTrusted || got != reason {
			t.Errorf("%q, %q, want %q: %v", result, got, reason, err)
		}
	}
}

func rsaKeyExchange(config *tls.Config) *tls.Config {
	config.MaxVersion = tls.VersionTLS12
	config.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	return config
}

// Names, replies and bytes from the network are untrusted, and must not be part of a
// report.
func TestReasonsAreFromAFixedSet(t *testing.T) {
	token := regexp.MustCompile(`^[a-z0-9-]{0,32}$`)
	hostile := "</html>\r\n\"policy\": \x00é"
	cert := &x509.Certificate{DNSNames: []string{hostile}}
	for _, err := range []error{
		errors.New(hostile),
		&textproto.Error{Code: 454, Msg: hostile},
		x509.HostnameError{Certificate: cert, Host: hostile},
		x509.CertificateInvalidError{Cert: cert, Reason: x509.CANotAuthorizedForThisName, Detail: hostile},
		x509.UnknownAuthorityError{Cert: cert},
		&net.OpError{Op: hostile, Err: errors.New(hostile)},
		&net.DNSError{Err: hostile, Name: hostile},
	} {
		if result, reason := Classify(err); result == "" || !token.MatchString(result) || !token.MatchString(reason) {
			t.Errorf("%T: %q, %q", err, result, reason)
		}
	}
	for number := range 256 {
		if _, reason := Classify(tls.AlertError(number)); !token.MatchString(reason) {
			t.Errorf("%q", reason)
		}
	}
}
