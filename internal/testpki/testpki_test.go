package testpki

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// verify verifies cert for name like a client that trusts ca.
func verify(ca *CA, cert tls.Certificate, name string) error {
	intermediates := x509.NewCertPool()
	for _, raw := range cert.Certificate[1:] {
		intermediates.AddCert(Must(x509.ParseCertificate(raw)))
	}
	_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: ca.Pool(), Intermediates: intermediates})
	return err
}

func TestEachCertificateHasExactlyOneFault(t *testing.T) {
	const host = "mx.example.com"
	ca, other := Must(New()), Must(New())

	for name, cert := range map[string]tls.Certificate{
		"good":          Must(ca.Issue(host)),
		"several names": Must(ca.Issue("other.example", host)),
		"RSA":           Must(ca.IssueRSA(host)),
		"wildcard":      Must(ca.Issue("*.example.com")),
	} {
		if err := verify(ca, cert, host); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	var unknown x509.UnknownAuthorityError
	for name, cert := range map[string]tls.Certificate{
		"another root": Must(other.Issue(host)),
		"self-signed":  Must(SelfSigned(host)),
	} {
		if err := verify(ca, cert, host); !errors.As(err, &unknown) {
			t.Errorf("%s: got %v, want an unknown authority", name, err)
		}
	}

	var mismatch x509.HostnameError
	for name, cert := range map[string]tls.Certificate{
		"common name only": Must(ca.IssueCommonNameOnly(host)),
		"partial wildcard": Must(ca.Issue("m*.example.com")),
		"IP SAN only":      Must(ca.Issue("192.0.2.1", "2001:db8::1")),
		"another name":     Must(ca.Issue("mx.example.net")),
	} {
		if err := verify(ca, cert, host); !errors.As(err, &mismatch) {
			t.Errorf("%s: got %v, want a host name mismatch", name, err)
		}
	}

	for name, test := range map[string]struct {
		cert   tls.Certificate
		reason x509.InvalidReason
	}{
		"expired":        {Must(ca.IssueExpired(host)), x509.Expired},
		"not yet valid":  {Must(ca.IssueNotYetValid(host)), x509.Expired},
		"misconstrained": {Must(ca.IssueMisconstrained(host)), x509.CANotAuthorizedForThisName},
	} {
		var invalid x509.CertificateInvalidError
		if err := verify(ca, test.cert, host); !errors.As(err, &invalid) || invalid.Reason != test.reason {
			t.Errorf("%s: got %v, want reason %d", name, err, test.reason)
		}
	}
	if err := verify(ca, Must(ca.IssueMisconstrained("mx.permitted.invalid")), "mx.permitted.invalid"); err != nil {
		t.Errorf("below the constraint: %v", err)
	}
}

func TestForgeWithoutAChangeIsValid(t *testing.T) {
	const host = "mx.example.com"
	ca := Must(New())
	cert := Must(Must(Must(ca.Intermediate(nil)).Intermediate(nil)).Issue(host))
	if err := verify(ca, cert, host); err != nil || len(cert.Certificate) != 3 {
		t.Errorf("below two intermediates: a chain of %d, %v", len(cert.Certificate), err)
	}
	cert = Must(ca.Issue(host))
	cert.Leaf = Must(x509.ParseCertificate(Must(ca.Forge(cert.Certificate[0], func(*TBS) {}))))
	if err := verify(ca, cert, host); err != nil {
		t.Errorf("forged: %v", err)
	}
}

// The clock of a bubble starts in the year 2000.
func TestValidityFollowsTheClockOfABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := Must(New())
		good, early := Must(ca.Issue("a.example")), Must(ca.IssueNotYetValid("a.example"))
		if err := verify(ca, good, "a.example"); err != nil {
			t.Error(err)
		}
		if verify(ca, early, "a.example") == nil {
			t.Error("a certificate of tomorrow is valid today")
		}
		time.Sleep(365 * 24 * time.Hour)
		for _, cert := range []tls.Certificate{good, early} {
			if err := verify(ca, cert, "a.example"); err != nil {
				t.Errorf("a year later: %v", err)
			}
		}
	})
}

func TestPEMFilesAreReadBackWhole(t *testing.T) {
	ca := Must(New())
	for name, cert := range map[string]tls.Certificate{
		"ECDSA, with an intermediate": Must(ca.IssueMisconstrained("a.permitted.invalid")),
		"RSA":                         Must(ca.IssueRSA("a.permitted.invalid")),
	} {
		chain, key, err := PEM(cert)
		if err != nil {
			t.Fatal(err)
		}
		back, err := tls.X509KeyPair(chain, key)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(back.Certificate) != len(cert.Certificate) {
			t.Errorf("%s: %d certificates, want %d", name, len(back.Certificate), len(cert.Certificate))
		}
		if _, isRSA := back.PrivateKey.(*rsa.PrivateKey); isRSA != (name == "RSA") {
			t.Errorf("%s: the key is a %T", name, back.PrivateKey)
		}
		if err := verify(ca, back, "a.permitted.invalid"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	block, rest := pem.Decode(ca.PEM())
	if block == nil || len(rest) > 0 || !Must(x509.ParseCertificate(block.Bytes)).Equal(ca.cert) {
		t.Errorf("the root does not come back from %q", ca.PEM())
	}
	if _, _, err := PEM(tls.Certificate{}); err == nil {
		t.Error("a certificate without a chain gave files")
	}
}

func TestAnInvalidNameIsAnError(t *testing.T) {
	if _, err := Must(New()).Issue("mx.exämple.com"); err == nil {
		t.Error("a U-label became a SAN")
	}
	defer func() {
		if recover() == nil {
			t.Error("Must let an error pass")
		}
	}()
	Must(Must(New()).Issue("mx.exämple.com"))
}
