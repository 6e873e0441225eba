// Package certcheck judges the certificate of a TLS server. [Verify] is for a
// session whose handshake must not fail on it, as under a policy in testing
// mode; [Classify] says what went wrong in the words of RFC 8460.
package certcheck

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"
)

// errNotDNSName is a server that was asked for by something other than a DNS
// name.
var errNotDNSName = errors.New("certcheck: the server is not known by a DNS name")

// errNoCertificate is a server that presented nothing to verify.
var errNoCertificate = errors.New("certcheck: the server presented no certificate")

// Verify judges certs, the chain that a server presented with its leaf first,
// for the DNS name of the server (RFC 8461, Sections 3.3 and 4.2): at the time
// now the leaf must be valid, have name among its DNS SANs, and chain, with
// the help of the other certificates, to one of roots; nil stands for the
// system's. It returns nil, or a *tls.CertificateVerificationError.
//
// For a DNS name the judgement is that of crypto/tls, by the same verifier. It
// is stricter in that an IP address is no name, whatever the certificate says:
// an IP SAN is not a DNS-ID.
//
// The text of the error holds names from the certificate as they are. Verify
// may be called concurrently.
func Verify(certs []*x509.Certificate, name string, roots *x509.CertPool, now time.Time) error {
	err := verify(certs, name, roots, now)
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	return nil
}

func verify(certs []*x509.Certificate, name string, roots *x509.CertPool, now time.Time) error {
	// The x509 package skips the look at the names if there is none to look
	// for, and takes "[192.0.2.1]" for an address too.
	if name == "" || net.ParseIP(strings.Trim(name, "[]")) != nil {
		return errNotDNSName
	}
	if len(certs) == 0 {
		return errNoCertificate
	}
	intermediates := x509.NewCertPool()
	for _, cert := range certs[1:] {
		intermediates.AddCert(cert)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{
		DNSName:       name,
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}
