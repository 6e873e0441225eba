package certcheck

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testcost"
	"github.com/mtasts/go-mtasts/internal/testpki"
)

// A caller can wrap and join errors without limit, and an untrusted server chooses their
// texts. Neither makes an error costly to classify.
func TestAnyErrorIsCheapToClassify(t *testing.T) {
	text := strings.Repeat("\x1b", 1<<20)
	deep := errors.New("deep")
	for range 1000 {
		deep = fmt.Errorf("%w", deep)
	}
	wide := errors.Join(slices.Repeat([]error{errors.New(text)}, 1000)...)
	both := errors.Join(slices.Repeat([]error{fmt.Errorf("a: %w", fmt.Errorf("b: %w", errors.New("c")))}, 1000)...)
	// The largest key and exponent that crypto/tls accepts, many times.
	f := forger{testpki.Must(testpki.New())}
	cert := f.issuer(key(&rsa.PublicKey{N: rsaKey(8192).N, E: 1<<31 - 1}))
	leaf := testpki.Must(f.Forge(cert.Certificate[0], algorithm(1, 2, 840, 113549, 1, 1, 11)))
	chain := []*x509.Certificate{testpki.Must(x509.ParseCertificate(leaf))}
	chain = append(chain, slices.Repeat([]*x509.Certificate{testpki.Must(x509.ParseCertificate(cert.Certificate[1]))}, 100)...)
	issuers := Verify(chain, mx, f.Pool(), time.Now())
	if _, reason := Classify(issuers); reason != ReasonInvalidSignature {
		t.Errorf("%q", reason)
	}

	names := slices.Repeat([]string{text[:250]}, 300)
	for what, err := range map[string]error{
		"deep":             deep,
		"wide":             wide,
		"deep and wide":    both,
		"a host's issuers": issuers,
		"a host's names":   x509.HostnameError{Certificate: &x509.Certificate{DNSNames: names}, Host: mx},
	} {
		testcost.Under(t, what, func() { Classify(err) })
		testcost.Under(t, what, func() { IssuerAtFault(err) })
	}
}
