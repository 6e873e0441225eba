package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"
)

// Issue returns a valid certificate with an ECDSA key. A name that is an IP address
// becomes an IP SAN, any other a DNS SAN. There is no common name.
func (ca *CA) Issue(names ...string) (tls.Certificate, error) {
	return ca.Sign(named(names))
}

// IssueRSA is Issue with a 2048-bit RSA key. It is much slower.
func (ca *CA) IssueRSA(names ...string) (tls.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("testpki: make a key: %w", err)
	}
	return ca.sign(named(names), key)
}

// IssueExpired returns a certificate that expired yesterday.
func (ca *CA) IssueExpired(names ...string) (tls.Certificate, error) {
	template := named(names)
	template.NotBefore = time.Now().Add(-2 * margin)
	template.NotAfter = time.Now().Add(-margin)
	return ca.Sign(template)
}

// IssueNotYetValid returns a certificate that becomes valid tomorrow.
func (ca *CA) IssueNotYetValid(names ...string) (tls.Certificate, error) {
	template := named(names)
	template.NotBefore = time.Now().Add(margin)
	return ca.Sign(template)
}

// IssueCommonNameOnly returns a certificate with its name in the subject's common name
// and without any SAN.
func (ca *CA) IssueCommonNameOnly(name string) (tls.Certificate, error) {
	return ca.Sign(x509.Certificate{Subject: pkix.Name{CommonName: name}})
}

// IssueMisconstrained returns a certificate with an intermediate in its chain that is
// constrained to names below "permitted.invalid".
func (ca *CA) IssueMisconstrained(names ...string) (tls.Certificate, error) {
	intermediate, err := ca.Intermediate(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		c.PermittedDNSDomains = []string{"permitted.invalid"}
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	return intermediate.Issue(names...)
}

// SelfSigned returns a certificate that is signed with its own key.
func SelfSigned(names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("testpki: make a key: %w", err)
	}
	template := named(names)
	template.Subject.CommonName = "self-signed" // an empty issuer is malformed
	return (&CA{cert: &template, key: key}).sign(template, key)
}

// named returns a template with names as its SANs.
func named(names []string) x509.Certificate {
	var template x509.Certificate
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

// sign is Sign with a given key.
func (ca *CA) sign(template x509.Certificate, key crypto.Signer) (tls.Certificate, error) {
	if template.SerialNumber == nil {
		template.SerialNumber = newSerial()
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-margin)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(leafLife)
	}
	if template.KeyUsage == 0 {
		template.KeyUsage = x509.KeyUsageDigitalSignature
	}
	if template.ExtKeyUsage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("testpki: sign a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("testpki: parse a certificate: %w", err)
	}
	chain := append([][]byte{der}, ca.chain...)
	return tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}

// PEM returns the certificate of ca, as in a file of trusted authorities.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// PEM returns the chain of cert, leaf first, and its private key (PKCS #8). nginx,
// Postfix and other servers read files in this form.
func PEM(cert tls.Certificate) (chain, key []byte, err error) {
	if len(cert.Certificate) == 0 {
		return nil, nil, errors.New("testpki: the certificate to encode has an empty chain")
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("testpki: encode the private key: %w", err)
	}
	for _, raw := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})...)
	}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
