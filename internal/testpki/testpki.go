// Package testpki is a certificate authority in memory, for tests and examples. [New]
// makes one. [CA.Issue] makes a valid certificate. The other methods of [CA] make
// certificates that a sender must reject.
//
//	ca := testpki.Must(testpki.New())
//	server := &tls.Config{Certificates: []tls.Certificate{testpki.Must(ca.Issue("mx.example.com"))}}
//	client := &tls.Config{ServerName: "mx.example.com", RootCAs: ca.Pool()}
//
// For an unknown root, make a second CA. Wildcards ("*.example.com") and partial
// wildcards ("m*.example.com") are names like any other. Validity is relative to
// time.Now at issuance, so it follows the clock of a testing/synctest bubble.
package testpki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// Lifetimes are long, because years may pass in a bubble of testing/synctest. The
// authority is valid before and after all that it issues.
const (
	margin   = 24 * time.Hour
	leafLife = 10 * 365 * margin
	caLife   = 2 * leafLife
)

// A CA is a root or an intermediate that signs certificates. Its methods may be called
// concurrently.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	// chain is what a server sends after a certificate of this authority: this one
	// and the intermediates above it. It is empty for a root.
	chain [][]byte
}

// New makes a root with a new name and P-256 key.
func New() (*CA, error) {
	return newCA(nil, nil)
}

// Intermediate makes an authority below ca. It is in the chain of every certificate that
// it issues. change, if not nil, alters the template before ca signs it.
func (ca *CA) Intermediate(change func(*x509.Certificate)) (*CA, error) {
	return newCA(ca, change)
}

// newCA makes a root if parent is nil and an intermediate otherwise.
func newCA(parent *CA, change func(*x509.Certificate)) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("testpki: make a key: %w", err)
	}
	serial := newSerial()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		// With one name for all authorities, an unknown root would be reported as an
		// invalid signature.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("go-mtasts test authority %x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-7 * margin),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if change != nil {
		change(template)
	}
	ca := &CA{cert: template, key: key}
	if parent == nil {
		parent = ca
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		return nil, fmt.Errorf("testpki: sign the authority: %w", err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("testpki: parse the authority: %w", err)
	}
	if parent != ca {
		ca.chain = append([][]byte{der}, parent.chain...)
	}
	return ca, nil
}

// Pool returns a new pool with this authority as its only root.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Sign signs template, for a fault that no method here makes. It adds a new P-256 key.
// Where a field is zero it adds a serial number, a validity from yesterday until ten
// years from now, and the key usage of a server.
func (ca *CA) Sign(template x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("testpki: make a key: %w", err)
	}
	return ca.sign(template, key)
}

// newSerial returns a positive number of 127 bits.
func newSerial() *big.Int {
	raw := make([]byte, 16)
	rand.Read(raw) // never fails
	raw[0] = raw[0]&0x7f | 0x40
	return new(big.Int).SetBytes(raw)
}

// Must returns v. It panics if err is not nil. It is for the set-up of a test.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
