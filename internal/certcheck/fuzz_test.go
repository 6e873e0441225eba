package certcheck

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

var (
	resultABNF = regexp.MustCompile(`\A(starttls-not-supported|certificate-host-mismatch|certificate-expired|certificate-not-trusted|validation-failure)\z`)
	reasonABNF = regexp.MustCompile(`\A[a-z0-9-]{0,40}\z`)
	issuerABNF = regexp.MustCompile(`\A("[ -~]{0,1000}")?\z`)
)

func checkWords(t *testing.T, err error) {
	t.Helper()
	if result, reason := Classify(err); !resultABNF.MatchString(result) || !reasonABNF.MatchString(reason) {
		t.Errorf("%q, %q for %q", result, reason, err)
	}
	if issuer := IssuerAtFault(err); !issuerABNF.MatchString(issuer) {
		t.Errorf("issuer %q for %q", issuer, err)
	}
}

// FuzzVerify verifies any certificate, for any name. Only the certificate that the root
// has signed is valid. Any other has a known result and reason.
func FuzzVerify(f *testing.F) {
	ca := testpki.Must(testpki.New())
	for _, p := range everyCertificate() {
		f.Add(p.cert.Certificate[0], p.name)
	}
	good := testpki.Must(ca.Issue(mx)).Leaf
	f.Add(good.Raw, mx)
	f.Fuzz(func(t *testing.T, der []byte, name string) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		err = Verify([]*x509.Certificate{cert, good, cert}, name, ca.Pool(), time.Now())
		if err != nil {
			checkWords(t, err)
		} else if !bytes.Equal(cert.RawTBSCertificate, good.RawTBSCertificate) {
			t.Errorf("%x is valid for %q", der, name)
		}
	})
}

// FuzzClassify classifies errors of an SMTP client.
func FuzzClassify(f *testing.F) {
	for reason := range x509.NoValidChains + 2 { // every reason of crypto/x509
		f.Add(int(reason), "text", "read")
	}
	f.Add(454, "4.7.0 TLS not available", "remote error")
	f.Add(0, "\r\nresult: success", "dial")
	f.Add(-1, "tls: bad certificate", "local error")
	f.Fuzz(func(t *testing.T, code int, text, op string) {
		for _, err := range []error{
			errors.New(text),
			&textproto.Error{Code: code, Msg: text},
			&net.OpError{Op: op, Err: errors.New(text)},
			&net.OpError{Op: op},
			&net.DNSError{Err: text, IsTimeout: code < 0},
			x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{text}}, Host: op},
			x509.CertificateInvalidError{Reason: x509.InvalidReason(code), Detail: text},
			errors.Join(fmt.Errorf("%s: %w", text, io.EOF), &textproto.Error{Code: code, Msg: text}),
		} {
			checkWords(t, err)
		}
	})
}
