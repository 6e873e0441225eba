// Package testpki is a certificate authority in memory, for tests and
// examples. [New] makes one; [CA.Issue] makes a certificate that is good for
// the names given, and its neighbours make those that a sender must refuse.
//
//	ca := testpki.Must(testpki.New())
//	server := &tls.Config{Certificates: []tls.Certificate{testpki.Must(ca.Issue("mx.example.com"))}}
//	client := &tls.Config{ServerName: "mx.example.com", RootCAs: ca.Pool()}
//
// An unknown root is a second CA; a wrong name is any other name; wildcards
// ("*.example.com") and partial ones ("m*.example.com") are names like others.
// Every validity is relative to time.Now at issuance, so that a CA and its
// certificates made inside a testing/synctest bubble agree with its clock.
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

// Lifetimes are long, because a test may let a year pass in no time. The
// authority is older and lives longer than anything it issues.
const (
	margin   = 24 * time.Hour
	leafLife = 10 * 365 * margin
	caLife   = 2 * leafLife
)

// A CA is a root that signs certificates. Its methods may be called
// concurrently.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	// chain is what a server sends behind a certificate of this authority: itself
	// and the intermediates above it. It is empty for a root.
	chain [][]byte
}

// New makes a root of its own name and P-256 key. It fails only where the
// machine has no randomness.
func New() (*CA, error) {
	return newCA(nil, nil)
}

// Intermediate makes an authority below ca, which stands in the chain of every
// certificate that it issues. change, if it is not nil, gives it a fault.
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
		// Two authorities of one name would make an unknown root look like a
		// broken signature.
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
		return nil, fmt.Errorf("testpki: read the authority back: %w", err)
	}
	if parent != ca {
		ca.chain = append([][]byte{der}, parent.chain...)
	}
	return ca, nil
}

// Pool returns a new pool that holds this root alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Sign signs what template says, for a fault that has no method here. It fills
// in what the template leaves zero: a fresh P-256 key, a serial number, a
// validity from yesterday to ten years hence, and usage as a server.
func (ca *CA) Sign(template x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("testpki: make a key: %w", err)
	}
	return ca.sign(template, key)
}

// newSerial returns a number of 128 bits of which the first is set, as real
// authorities use.
func newSerial() *big.Int {
	raw := make([]byte, 16)
	rand.Read(raw) // it never fails: crypto/rand.Read
	raw[0] = raw[0]&0x7f | 0x40
	return new(big.Int).SetBytes(raw)
}

// Must returns v, and panics if err is not nil. It is for set-up code, where
// there is nothing better to do.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
