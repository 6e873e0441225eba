package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// verify judges the TLS session of an answer that a transport of the caller's
// brought, by the rules to which crypto/tls holds the sessions of our own. A
// transport may look for other names than that of the host, or may not look at
// all; so its word is taken for nothing but the roots it trusts, and roots, if
// there are any, take precedence.
func verify(session *tls.ConnectionState, host string, roots *x509.CertPool) error {
	if session == nil || len(session.PeerCertificates) == 0 {
		return &tls.CertificateVerificationError{Err: errors.New("the answer came without a certificate")}
	}
	if session.Version < tls.VersionTLS12 { // RFC 8461, Section 7.2
		return fmt.Errorf("the answer came over %s, which is older than TLS 1.2", tls.VersionName(session.Version))
	}
	if roots == nil && len(session.VerifiedChains) > 0 {
		roots = x509.NewCertPool()
		for _, chain := range session.VerifiedChains {
			roots.AddCert(chain[len(chain)-1])
		}
	}
	certs := session.PeerCertificates
	intermediates := x509.NewCertPool()
	for _, cert := range certs[1:] {
		intermediates.AddCert(cert)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{
		DNSName:       host,
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   time.Now(),
	})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	return nil
}
