package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// verify verifies the TLS session of an answer from Config.Transport by the same rules
// as crypto/tls. A transport may have verified another name, or nothing. Only its roots
// are trusted, and only if roots is nil.
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
