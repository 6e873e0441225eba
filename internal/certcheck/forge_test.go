package certcheck

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// A fault is a certificate with a fault, and its classification.
type fault struct {
	cert           tls.Certificate
	result, reason string
	issuer         string // the result of IssuerAtFault
}

// A forger makes certificates for mx.
type forger struct{ *testpki.CA }

// issue returns a valid certificate of authority.
func issue(authority *testpki.CA) tls.Certificate { return testpki.Must(authority.Issue(mx)) }

// sign returns a certificate whose template change alters.
func sign(authority *testpki.CA, change func(*x509.Certificate)) tls.Certificate {
	template := x509.Certificate{DNSNames: []string{mx}}
	change(&template)
	return testpki.Must(authority.Sign(template))
}

// below returns an intermediate of this name, whose template change alters.
func below(authority *testpki.CA, name string, change func(*x509.Certificate)) *testpki.CA {
	return testpki.Must(authority.Intermediate(func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		change(c)
	}))
}

func nothing(*x509.Certificate) {}

// leaf returns a certificate whose encoding change alters.
func (f forger) leaf(change func(*testpki.TBS)) tls.Certificate {
	cert := issue(f.CA)
	cert.Certificate[0] = testpki.Must(f.Forge(cert.Certificate[0], change))
	return cert
}

// issuer returns a certificate with an intermediate, "Faulty", whose encoding change
// alters.
func (f forger) issuer(change func(*testpki.TBS)) tls.Certificate {
	cert := issue(below(f.CA, "Faulty", nothing))
	cert.Certificate[1] = testpki.Must(f.Forge(cert.Certificate[1], change))
	return cert
}

// withKey returns cert with another private key.
func withKey(cert tls.Certificate, private crypto.PrivateKey) tls.Certificate {
	cert.PrivateKey = private
	return cert
}

// A fakeKey is a private key for any public key. Its signatures are invalid.
type fakeKey struct{ public crypto.PublicKey }

func (k fakeKey) Public() crypto.PublicKey { return k.public }

func (k fakeKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 96), nil
}

func (k fakeKey) Decrypt(io.Reader, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return make([]byte, 48), nil
}

func ecdsaKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	return testpki.Must(ecdsa.GenerateKey(curve, rand.Reader))
}

func rsaKey(bits uint) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

// key sets a public key that crypto/x509 can encode.
func key(public crypto.PublicKey) func(*testpki.TBS) {
	der := testpki.Must(x509.MarshalPKIXPublicKey(public))
	return func(tbs *testpki.TBS) { tbs.Key = asn1.RawValue{FullBytes: der} }
}

// otherKey sets a public key that crypto/x509 cannot encode.
func otherKey(algorithm asn1.ObjectIdentifier, parameters any, public []byte) func(*testpki.TBS) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Public    asn1.BitString
	}
	info.Algorithm.Algorithm = algorithm
	if parameters != nil {
		info.Algorithm.Parameters.FullBytes = testpki.Must(asn1.Marshal(parameters))
	}
	info.Public = asn1.BitString{Bytes: public, BitLength: 8 * len(public)}
	der := testpki.Must(asn1.Marshal(info))
	return func(tbs *testpki.TBS) { tbs.Key = asn1.RawValue{FullBytes: der} }
}

// algorithm sets the algorithm of the signature.
func algorithm(arcs ...int) func(*testpki.TBS) {
	return func(tbs *testpki.TBS) { tbs.Algorithm = pkix.AlgorithmIdentifier{Algorithm: arcs} }
}
