package certcheck

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

const mx = "mx.example.com"

// A presented certificate is what a server presents to a client that trusts roots and
// expects name.
type presented struct {
	cert  tls.Certificate
	roots *x509.CertPool
	name  string

	result, reason string // of Classify
}

// everyCertificate returns each kind of certificate that testpki makes, and more.
func everyCertificate() map[string]presented {
	ca := testpki.Must(testpki.New())
	roots := ca.Pool()
	self := testpki.Must(testpki.SelfSigned(mx))
	selfRoot := x509.NewCertPool()
	selfRoot.AddCert(self.Leaf)
	client := testpki.Must(ca.Sign(x509.Certificate{
		DNSNames:    []string{mx},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}))
	critical := testpki.Must(ca.Sign(x509.Certificate{
		DNSNames:        []string{mx},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 99}, Critical: true, Value: []byte{5, 0}}},
	}))
	stray := testpki.Must(ca.Issue(mx))
	stray.Certificate = append(stray.Certificate, testpki.Must(ca.Issue("a.example")).Certificate...)

	return map[string]presented{
		"good":                        {testpki.Must(ca.Issue(mx)), roots, mx, "", ""},
		"good by another case":        {testpki.Must(ca.Issue("MX.Example.com")), roots, "mx.eXample.com", "", ""},
		"good with a final dot":       {testpki.Must(ca.Issue(mx)), roots, mx + ".", "", ""},
		"several names":               {testpki.Must(ca.Issue("a.example", mx)), roots, mx, "", ""},
		"RSA":                         {testpki.Must(ca.IssueRSA(mx)), roots, mx, "", ""},
		"wildcard":                    {testpki.Must(ca.Issue("*.example.com")), roots, mx, "", ""},
		"wildcard, two labels":        {testpki.Must(ca.Issue("*.example.com")), roots, "a." + mx, hostMismatch, ""},
		"partial wildcard":            {testpki.Must(ca.Issue("m*.example.com")), roots, mx, hostMismatch, ""},
		"wrong name":                  {testpki.Must(ca.Issue("mx.example.net")), roots, mx, hostMismatch, ""},
		"wrong name and root":         {testpki.Must(testpki.Must(testpki.New()).Issue("mx.example.net")), roots, mx, hostMismatch, ""},
		"common name only":            {testpki.Must(ca.IssueCommonNameOnly(mx)), roots, mx, hostMismatch, "no-dns-id"},
		"IP SAN only":                 {testpki.Must(ca.Issue("127.0.0.1")), roots, mx, hostMismatch, "no-dns-id"},
		"expired":                     {testpki.Must(ca.IssueExpired(mx)), roots, mx, expired, ""},
		"not yet valid":               {testpki.Must(ca.IssueNotYetValid(mx)), roots, mx, notTrusted, "certificate-not-yet-valid"},
		"unknown root":                {testpki.Must(testpki.Must(testpki.New()).Issue(mx)), roots, mx, notTrusted, "unknown-authority"},
		"self-signed":                 {self, roots, mx, notTrusted, "self-signed"},
		"self-signed and trusted":     {self, selfRoot, mx, "", ""},
		"through an intermediate":     {testpki.Must(ca.IssueMisconstrained("a.permitted.invalid")), roots, "a.permitted.invalid", "", ""},
		"misconstrained intermediate": {testpki.Must(ca.IssueMisconstrained(mx)), roots, mx, notTrusted, "issuer-constraint"},
		"unknown root, sent along":    {withRoot(testpki.Must(testpki.New())), roots, mx, notTrusted, "unknown-authority"},
		"for clients":                 {client, roots, mx, notTrusted, "wrong-key-usage"},
		"unknown critical extension":  {critical, roots, mx, notTrusted, "unhandled-critical-extension"},
		"stray certificate in chain":  {stray, roots, mx, "", ""},
		"no roots at all":             {testpki.Must(ca.Issue(mx)), x509.NewCertPool(), mx, notTrusted, "unknown-authority"},
	}
}

// withRoot returns a certificate of ca with the root in its chain.
func withRoot(ca *testpki.CA) tls.Certificate {
	cert := testpki.Must(ca.Issue(mx))
	root, _ := pem.Decode(ca.PEM())
	cert.Certificate = append(cert.Certificate, root.Bytes)
	return cert
}

// connect returns a connection to server. The test does not end before the connection
// and server.
func connect(t *testing.T, server func(net.Conn)) net.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer conn.Close()
		server(conn)
	}()
	t.Cleanup(func() {
		client.Close()
		<-done
	})
	return client
}

// handshake presents cert to a client. It returns the certificates that the client
// received and the error of the handshake.
func handshake(t *testing.T, cert tls.Certificate, config *tls.Config) ([]*x509.Certificate, error) {
	t.Helper()
	client := tls.Client(connect(t, func(conn net.Conn) {
		tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
		io.Copy(io.Discard, conn)
	}), config)
	err := client.Handshake()
	return client.ConnectionState().PeerCertificates, err
}

// Mode testing must find the faults that mode enforce would find. crypto/tls verifies for
// enforce, and Verify for testing.
func TestRFC8461_4_2_VerifyAgreesWithTheHandshakeOfEnforceMode(t *testing.T) {
	for name, p := range everyCertificate() {
		t.Run(name, func(t *testing.T) {
			_, enforced := handshake(t, p.cert, &tls.Config{ServerName: p.name, RootCAs: p.roots})
			certs, err := handshake(t, p.cert, &tls.Config{ServerName: p.name, InsecureSkipVerify: true})
			if err != nil {
				t.Fatalf("the handshake that verifies nothing: %v", err)
			}
			tested := Verify(certs, p.name, p.roots, time.Now())

			if (enforced == nil) != (tested == nil) {
				t.Fatalf("enforced: %v\ntested: %v", enforced, tested)
			}
			for mode, err := range map[string]error{"enforced": enforced, "tested": tested} {
				if _, ok := errors.AsType[*tls.CertificateVerificationError](err); err != nil && !ok {
					t.Errorf("%s: %v is a %T", mode, err, err)
				}
				if result, reason := Classify(err); result != p.result || reason != p.reason {
					t.Errorf("%s: %q, %q, want %q, %q: %v", mode, result, reason, p.result, p.reason, err)
				}
			}
		})
	}
}

// RFC 8461, Section 4.2: the name is a DNS-ID. crypto/tls would accept these.
func TestRFC8461_4_2_AnIPAddressIsNotADNSName(t *testing.T) {
	ca := testpki.Must(testpki.New())
	certs := []*x509.Certificate{testpki.Must(ca.Issue("127.0.0.1", "::1", "192.0.2.1")).Leaf}
	for _, name := range []string{"127.0.0.1", "::1", "[::1]", "192.0.2.1", "[192.0.2.1]"} {
		err := Verify(certs, name, ca.Pool(), time.Now())
		if result, reason := Classify(err); result != hostMismatch || reason != "not-a-dns-name" {
			t.Errorf("%s: %q, %q: %v", name, result, reason, err)
		}
	}
}

func TestRFC8461_4_2_ValidityIsVerifiedAtTheGivenTime(t *testing.T) {
	ca := testpki.Must(testpki.New())
	certs := []*x509.Certificate{testpki.Must(ca.Issue(mx)).Leaf}
	for now, valid := range map[time.Time]bool{
		certs[0].NotBefore.Add(-time.Second): false,
		certs[0].NotBefore:                   true,
		certs[0].NotAfter:                    true,
		certs[0].NotAfter.Add(time.Second):   false,
	} {
		if err := Verify(certs, mx, ca.Pool(), now); (err == nil) != valid {
			t.Errorf("%v: %v", now, err)
		}
	}
}

func TestNothingToVerifyIsAnError(t *testing.T) {
	ca := testpki.Must(testpki.New())
	if err := Verify(nil, mx, ca.Pool(), time.Now()); err == nil {
		t.Error("an empty chain is valid")
	}
	if err := Verify([]*x509.Certificate{testpki.Must(ca.Issue(mx)).Leaf}, "", ca.Pool(), time.Now()); err == nil {
		t.Error("a certificate is valid for no name")
	}
}
