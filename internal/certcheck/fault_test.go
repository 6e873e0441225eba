package certcheck

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// chainFaults are faults of one certificate in a chain, most often of an issuer.
func chainFaults(f forger) map[string]fault {
	past := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }
	future := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }
	noCA := func(c *x509.Certificate) { c.IsCA = false }
	noConstraints := func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false }
	noCertSign := func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }
	version1 := func(tbs *testpki.TBS) { tbs.Version, tbs.Extensions = 0, nil }
	last := func(c *x509.Certificate) { c.MaxPathLenZero = true }
	clients := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	needsPolicy := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{ // policyConstraints: requireExplicitPolicy 0
			Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0},
		}}
	}
	unnamed := func(c *x509.Certificate) { past(c); c.Subject = pkix.Name{}; c.SerialNumber = big.NewInt(0x1f2e) }
	organization := func(c *x509.Certificate) { past(c); c.Subject = pkix.Name{Organization: []string{"Faulty Inc."}} }

	faulty := func(change func(*x509.Certificate)) *testpki.CA { return below(f.CA, "Faulty", change) }
	return map[string]fault{
		"expired":                    {issue(faulty(past)), expired, ReasonIssuerExpired, `"Faulty"`},
		"expired, far above":         {issue(below(faulty(past), "Fine", nothing)), expired, ReasonIssuerExpired, `"Faulty"`},
		"expired, by organization":   {issue(faulty(organization)), expired, ReasonIssuerExpired, `"Faulty Inc."`},
		"expired, without a name":    {issue(faulty(unnamed)), expired, ReasonIssuerExpired, `"serial number 1f2e"`},
		"expired as the leaf is":     {testpki.Must(faulty(past).IssueExpired(mx)), expired, "", ""},
		"not valid yet":              {issue(faulty(future)), notTrusted, ReasonIssuerNotYetValid, `"Faulty"`},
		"not valid as the leaf is":   {testpki.Must(faulty(future).IssueNotYetValid(mx)), notTrusted, ReasonCertificateNotYetValid, ""},
		"no CA":                      {issue(faulty(noCA)), notTrusted, ReasonIssuerNotACA, `"Faulty"`},
		"no CA, far above":           {issue(below(faulty(noCA), "Fine", nothing)), notTrusted, ReasonIssuerNotACA, `"Faulty"`},
		"no basicConstraints":        {issue(faulty(noConstraints)), notTrusted, ReasonIssuerNotACA, `"Faulty"`},
		"no certSign":                {issue(faulty(noCertSign)), notTrusted, ReasonIssuerNotACA, `"Faulty"`},
		"version 1":                  {f.issuer(version1), notTrusted, ReasonIssuerNotACA, `"Faulty"`},
		"too many below":             {issue(below(faulty(last), "Fine", nothing)), notTrusted, ReasonChainTooLong, `"Faulty"`},
		"for clients":                {issue(faulty(clients)), notTrusted, ReasonWrongKeyUsage, ""},
		"a policy that is not there": {issue(faulty(needsPolicy)), notTrusted, ReasonNoValidChain, ""},
	}
}

// signatureFaults are signatures that prove nothing.
func signatureFaults(f forger) map[string]fault {
	sha1 := func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }
	md5RSA := algorithm(1, 2, 840, 113549, 1, 1, 4)
	fine := below(f.CA, "Fine", nothing)

	renewed := issue(below(f.CA, "Faulty", nothing))
	renewed.Certificate[1] = issue(below(f.CA, "Faulty", nothing)).Certificate[1]

	// Nobody verifies the signature of a root.
	other := testpki.Must(testpki.New())
	oldRoot := withRoot(other)
	oldRoot.Certificate[1] = testpki.Must(other.Forge(oldRoot.Certificate[1], algorithm(1, 2, 840, 113549, 1, 1, 5)))
	rootName := strconv.Quote(oldRoot.Leaf.Issuer.CommonName)

	return map[string]fault{
		"SHA-1":                      {sign(f.CA, sha1), notTrusted, ReasonInsecureSignature, ""},
		"SHA-1, below an issuer":     {sign(fine, sha1), notTrusted, ReasonInsecureSignature, ""},
		"SHA-1, of an issuer":        {issue(below(f.CA, "Faulty", sha1)), notTrusted, ReasonInsecureSignature, `"Faulty"`},
		"SHA-1, far above":           {issue(below(below(f.CA, "Faulty", sha1), "Fine", nothing)), notTrusted, ReasonInsecureSignature, `"Faulty"`},
		"SHA-1, RSA":                 {f.leaf(algorithm(1, 2, 840, 113549, 1, 1, 5)), notTrusted, ReasonInsecureSignature, ""},
		"SHA-1, DSA":                 {f.leaf(algorithm(1, 2, 840, 10040, 4, 3)), notTrusted, ReasonInsecureSignature, ""},
		"MD5":                        {f.leaf(md5RSA), notTrusted, ReasonInsecureSignature, ""},
		"MD5, of an issuer":          {f.issuer(md5RSA), notTrusted, ReasonInsecureSignature, `"Faulty"`},
		"MD2":                        {f.leaf(algorithm(1, 2, 840, 113549, 1, 1, 2)), notTrusted, ReasonUnsupportedSignature, ""},
		"Ed448":                      {f.leaf(algorithm(1, 3, 101, 113)), notTrusted, ReasonUnsupportedSignature, ""},
		"Ed448, of an issuer":        {f.issuer(algorithm(1, 3, 101, 113)), notTrusted, ReasonUnsupportedSignature, `"Faulty"`},
		"DSA with SHA-256":           {f.leaf(algorithm(2, 16, 840, 1, 101, 3, 4, 3, 2)), notTrusted, ReasonUnsupportedSignature, ""},
		"by another key":             {renewed, notTrusted, ReasonInvalidSignature, ""},
		"by nobody known":            {issue(below(other, "Unknown", nothing)), notTrusted, ReasonUnknownAuthority, `"Unknown"`},
		"by nobody known, and SHA-1": {oldRoot, notTrusted, ReasonUnknownAuthority, rootName},
	}
}

// keyFaults are keys that crypto/tls does not accept, and certificates that it cannot parse.
func keyFaults(f forger) map[string]fault {
	small := rsaKey(768)
	smallIssuer := f.issuer(key(small))
	smallIssuer.Certificate[0] = testpki.Must(f.Forge(smallIssuer.Certificate[0], algorithm(1, 2, 840, 113549, 1, 1, 11)))
	secp256k1 := otherKey(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, asn1.ObjectIdentifier{1, 3, 132, 0, 10}, make([]byte, 65))
	ed448 := otherKey(asn1.ObjectIdentifier{1, 3, 101, 113}, nil, make([]byte, 57))
	dsa := otherKey(asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1},
		struct{ P, Q, G *big.Int }{big.NewInt(23), big.NewInt(11), big.NewInt(4)}, []byte{2, 1, 8})
	x25519 := key(testpki.Must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey())
	p256, p224 := ecdsaKey(elliptic.P256()), ecdsaKey(elliptic.P224())
	negative := func(tbs *testpki.TBS) { tbs.Serial.Neg(tbs.Serial) }
	twice := func(tbs *testpki.TBS) { tbs.Extensions = append(tbs.Extensions, tbs.Extensions...) }
	text := []byte("x509: negative serial number")

	return map[string]fault{
		"above 8192 bits":               {f.leaf(key(rsaKey(8193))), notTrusted, ReasonKeyTooLarge, ""},
		"above 8192 bits, of an issuer": {f.issuer(key(rsaKey(16384))), notTrusted, ReasonKeyTooLarge, ""},
		"below 1024 bits":               {withKey(f.leaf(key(small)), fakeKey{small}), notTrusted, ReasonKeyTooSmall, ""},
		"below 1024 bits, of an issuer": {smallIssuer, notTrusted, ReasonKeyTooSmall, `"Faulty"`},
		"secp256k1":                     {f.leaf(secp256k1), notTrusted, ReasonUnsupportedKey, ""},
		"secp256k1, of an issuer":       {f.issuer(secp256k1), notTrusted, ReasonUnsupportedKey, ""},
		"X25519":                        {f.leaf(x25519), notTrusted, ReasonUnsupportedKey, ""},
		"X25519, of an issuer":          {f.issuer(x25519), notTrusted, ReasonUnsupportedKey, `"Faulty"`},
		"DSA":                           {f.leaf(dsa), notTrusted, ReasonUnsupportedKey, ""},
		"DSA, of an issuer":             {f.issuer(dsa), notTrusted, ReasonUnsupportedKey, `"Faulty"`},
		"Ed448":                         {f.leaf(ed448), notTrusted, ReasonUnsupportedKey, ""},
		"Ed448, of an issuer":           {f.issuer(ed448), notTrusted, ReasonUnsupportedKey, `"Faulty"`},

		"another's":                {withKey(issue(f.CA), p256), notTrusted, ReasonInvalidHandshakeSignature, ""},
		"another's, RSA":           {withKey(f.leaf(key(rsaKey(2048))), fakeKey{rsaKey(2048)}), notTrusted, ReasonInvalidHandshakeSignature, ""},
		"another's, of other kind": {withKey(f.leaf(key(rsaKey(2048))), p256), notTrusted, ReasonInvalidHandshakeSignature, ""},
		"another's, of other size": {withKey(f.leaf(key(&p224.PublicKey)), p256), notTrusted, ReasonInvalidHandshakeSignature, ""},

		"negative serial number":            {f.leaf(negative), notTrusted, ReasonNegativeSerial, ""},
		"negative serial number, of issuer": {f.issuer(negative), notTrusted, ReasonNegativeSerial, ""},
		"an extension twice":                {f.leaf(twice), notTrusted, ReasonMalformedCertificate, ""},
		"an extension twice, of an issuer":  {f.issuer(twice), notTrusted, ReasonMalformedCertificate, ""},
		"text":                              {tls.Certificate{Certificate: [][]byte{text}, PrivateKey: p256}, notTrusted, ReasonMalformedCertificate, ""},
		"no certificate":                    {tls.Certificate{PrivateKey: p256}, notTrusted, ReasonNoCertificate, ""},
	}
}

func TestEveryFaultHasItsReasonInARealHandshake(t *testing.T) {
	f := forger{testpki.Must(testpki.New())}
	for what, faults := range map[string]map[string]fault{
		"chain": chainFaults(f), "signature": signatureFaults(f), "key": keyFaults(f),
	} {
		for name, fault := range faults {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				t.Run(what+"/"+name+"/"+tls.VersionName(version), func(t *testing.T) {
					_, err := handshake(t, fault.cert, &tls.Config{
						ServerName: mx, RootCAs: f.Pool(), MinVersion: version, MaxVersion: version,
					})
					if result, reason := Classify(err); result != fault.result || reason != fault.reason {
						t.Errorf("%q, %q, want %q, %q: %v", result, reason, fault.result, fault.reason, err)
					}
					if issuer := IssuerAtFault(err); issuer != fault.issuer {
						t.Errorf("issuer %s, want %s: %v", issuer, fault.issuer, err)
					}
					if wrapper, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
						tested := Verify(wrapper.UnverifiedCertificates, mx, f.Pool(), time.Now())
						if result, reason := Classify(tested); result != fault.result || reason != fault.reason {
							t.Errorf("mode testing: %q, %q: %v", result, reason, tested)
						}
					}
				})
			}
		}
	}
}

// A root is verified as well. The operator has chosen it.
func TestFaultsOfARoot(t *testing.T) {
	ca := testpki.Must(testpki.New())
	for name, test := range map[string]struct {
		change                 func(*x509.Certificate)
		result, reason, issuer string
	}{
		"expired":       {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, expired, ReasonIssuerExpired, `"Root"`},
		"not valid yet": {func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, notTrusted, ReasonIssuerNotYetValid, `"Root"`},
		"no CA":         {func(c *x509.Certificate) { c.IsCA = false }, notTrusted, ReasonIssuerNotACA, ""},
		"no certSign":   {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, notTrusted, ReasonIssuerNotACA, ""},
	} {
		root := below(ca, "Root", test.change)
		cert := issue(root)
		cert.Certificate = cert.Certificate[:1]
		_, err := handshake(t, cert, &tls.Config{ServerName: mx, RootCAs: root.Pool()})
		if result, reason := Classify(err); result != test.result || reason != test.reason {
			t.Errorf("%s: %q, %q, want %q, %q: %v", name, result, reason, test.result, test.reason, err)
		}
		if issuer := IssuerAtFault(err); issuer != test.issuer {
			t.Errorf("%s: issuer %s, want %s", name, issuer, test.issuer)
		}
	}
}

// An operator who renews a private authority may keep its name.
func TestARootOfTheSameNameIsAnUnknownAuthority(t *testing.T) {
	ca := testpki.Must(testpki.New())
	old, renewed := below(ca, "Root", nothing), below(ca, "Root", nothing)
	for _, sent := range []int{1, 2} {
		cert := issue(renewed)
		cert.Certificate = cert.Certificate[:sent]
		_, err := handshake(t, cert, &tls.Config{ServerName: mx, RootCAs: old.Pool()})
		if result, reason := Classify(err); result != notTrusted || reason != ReasonUnknownAuthority {
			t.Errorf("%d sent: %q, %q: %v", sent, result, reason, err)
		}
	}
}

// The clock of the handshake counts, not the time of the classification.
func TestValidityIsClassifiedByTheClockOfTheHandshake(t *testing.T) {
	ca := testpki.Must(testpki.New())
	cert := issue(below(ca, "Faulty", nothing))
	for years, result := range map[int]string{-100: notTrusted, 100: expired} {
		now := time.Now().AddDate(years, 0, 0)
		_, err := handshake(t, cert, &tls.Config{
			ServerName: mx, RootCAs: ca.Pool(), Time: func() time.Time { return now },
		})
		if got, reason := Classify(err); got != result {
			t.Errorf("in %d years: %q, %q: %v", years, got, reason, err)
		}
	}
}

// The name of an issuer is untrusted, and becomes part of a log.
func TestTheNameOfAnIssuerIsShortAndPrintable(t *testing.T) {
	ca := testpki.Must(testpki.New())
	printable := regexp.MustCompile(`^"[ -~]{1,1000}"$`)
	for _, name := range []string{"\r\n\x1b[31m\u202e", strings.Repeat("\x00", 10000), "\"", strings.Repeat("\u00e9", 10000)} {
		for what, subject := range map[string]pkix.Name{
			"common name": {CommonName: name}, "organization": {Organization: []string{name}},
		} {
			issuer := below(ca, "", func(c *x509.Certificate) {
				c.Subject = subject
				c.NotAfter = time.Now().Add(-time.Hour)
			})
			_, err := handshake(t, issue(issuer), &tls.Config{ServerName: mx, RootCAs: ca.Pool()})
			if got := IssuerAtFault(err); !printable.MatchString(got) {
				t.Errorf("%s of %d bytes: %q", what, len(name), got)
			}
		}
	}
}
