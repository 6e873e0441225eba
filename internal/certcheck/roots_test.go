package certcheck

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// verdictsVariable makes the test binary do handshakes and print their classification.
const verdictsVariable = "CERTCHECK_PRINT_VERDICTS"

// A process loads the system's roots only once, so each case runs in a new process.
func TestAMachineWithoutAuthoritiesBlamesNoServer(t *testing.T) {
	if os.Getenv(verdictsVariable) != "" {
		printVerdicts(t)
		return
	}
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	write := func(name string, content []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const (
		none  = "verdict: validation-failure no-certificate-authorities"
		fault = "verdict: certificate-expired "
	)
	for name, test := range map[string]struct {
		file string
		want []string // for an unknown authority, self-signed, expired
	}{
		"no file":           {missing, []string{none, none, fault}},
		"an empty file":     {write("empty", nil), []string{none, none, fault}},
		"a file of none":    {write("text", []byte("nothing to see")), []string{none, none, fault}},
		"a file unreadable": {dir, []string{none, none, none}}, // nothing at all is verified
		"some other root": {write("root", testpki.Must(testpki.New()).PEM()), []string{
			"verdict: certificate-not-trusted unknown-authority", "verdict: certificate-not-trusted self-signed", fault,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			child := exec.Command(os.Args[0], "-test.run=^TestAMachineWithoutAuthoritiesBlamesNoServer$", "-test.v")
			child.Env = append(os.Environ(), verdictsVariable+"=1", "SSL_CERT_FILE="+test.file, "SSL_CERT_DIR="+missing)
			output, err := child.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			var got []string
			for line := range strings.Lines(string(output)) {
				if _, verdict, ok := strings.Cut(line, "verdict: "); ok {
					got = append(got, "verdict: "+strings.TrimSuffix(verdict, "\n"))
				}
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func printVerdicts(t *testing.T) {
	ca := testpki.Must(testpki.New())
	for _, cert := range []tls.Certificate{
		testpki.Must(ca.Issue(mx)), testpki.Must(testpki.SelfSigned(mx)), testpki.Must(ca.IssueExpired(mx)),
	} {
		_, err := handshake(t, cert, &tls.Config{ServerName: mx})
		result, reason := ClassifyWith(err, nil)
		t.Logf("verdict: %s %s", result, reason)
	}
}

func TestAnEmptyPoolBlamesNoServer(t *testing.T) {
	ca, other := testpki.Must(testpki.New()), testpki.Must(testpki.New())
	for _, test := range []struct {
		cert           tls.Certificate
		roots          *x509.CertPool
		result, reason string
	}{
		{issue(ca), x509.NewCertPool(), failure, ReasonNoAuthorities},
		{issue(below(ca, "Fine", nothing)), x509.NewCertPool(), failure, ReasonNoAuthorities},
		{testpki.Must(testpki.SelfSigned(mx)), x509.NewCertPool(), failure, ReasonNoAuthorities},
		{testpki.Must(ca.Issue("mx.example.net")), x509.NewCertPool(), hostMismatch, ""},
		{issue(ca), other.Pool(), notTrusted, ReasonUnknownAuthority},
		{issue(ca), ca.Pool(), "", ""},
	} {
		_, err := handshake(t, test.cert, &tls.Config{ServerName: mx, RootCAs: test.roots})
		if result, reason := ClassifyWith(err, test.roots); result != test.result || reason != test.reason {
			t.Errorf("%q, %q, want %q, %q: %v", result, reason, test.result, test.reason, err)
		}
	}
}

func TestClassifyFetch(t *testing.T) {
	expired := &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired, Detail: "today is after yesterday"}}
	roots := x509.NewCertPool()
	roots.AddCert(&x509.Certificate{Raw: []byte{1}})
	for _, test := range []struct {
		err            error
		roots          *x509.CertPool
		result, reason string
	}{
		{expired, roots, "sts-webpki-invalid", "certificate-expired"},
		{x509.UnknownAuthorityError{}, roots, "sts-webpki-invalid", "unknown-authority"},
		{x509.UnknownAuthorityError{}, x509.NewCertPool(), "validation-failure", "no-certificate-authorities"},
		{io.ErrUnexpectedEOF, roots, "sts-policy-fetch-error", "connection-lost"},
	} {
		if result, reason := ClassifyFetch(test.err, test.roots); result != test.result || reason != test.reason {
			t.Errorf("%v: %q %q, want %q %q", test.err, result, reason, test.result, test.reason)
		}
	}
}
