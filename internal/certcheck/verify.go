// Package certcheck verifies the certificate of a TLS server, and names what is wrong
// with it. [Verify] is for a session that was set up without verification, as under a
// policy in mode testing. [Classify] puts an error into the terms of RFC 8460.
package certcheck

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"
)

var (
	errNotDNSName    = errors.New("the server has no DNS name that its certificate could be verified for")
	errNoCertificate = errors.New("the server presented no certificate")
)

// Verify verifies the chain that a server presented, with its leaf first, for the DNS
// name of the server (RFC 8461, Sections 3.3 and 4.2). At the time now, the leaf must be
// valid, have name among its DNS SANs, and chain to one of roots; nil stands for the
// system's. The other certificates serve as intermediates. The error is a
// *tls.CertificateVerificationError, and holds names from the certificate unescaped.
//
// The result is that of crypto/tls, with one exception: an IP address is never valid,
// for an IP SAN is not a DNS-ID. Verify may be called concurrently.
func Verify(certs []*x509.Certificate, name string, roots *x509.CertPool, now time.Time) error {
	_, err := Chains(certs, name, roots, now)
	return err
}

// Chains is [Verify], and returns the chains that it has found, each from the leaf to one
// of roots.
func Chains(certs []*x509.Certificate, name string, roots *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	var (
		chains [][]*x509.Certificate
		err    error
	)
	switch {
	case name == "" || net.ParseIP(strings.Trim(name, "[]")) != nil:
		// crypto/x509 accepts both: it verifies no name if it is given none, and an
		// address, in brackets too, against the IP SANs.
		err = errNotDNSName
	case len(certs) == 0:
		err = errNoCertificate
	default:
		intermediates := x509.NewCertPool()
		for _, cert := range certs[1:] {
			intermediates.AddCert(cert)
		}
		chains, err = certs[0].Verify(x509.VerifyOptions{
			DNSName:       name,
			Roots:         roots,
			Intermediates: intermediates,
			CurrentTime:   now,
		})
	}
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	return chains, nil
}
