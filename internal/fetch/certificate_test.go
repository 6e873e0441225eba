package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// getFrom does a Get from a server with cert. It reports whether the server received a
// request.
func getFrom(t *testing.T, cert tls.Certificate) (body string, asked bool, err error) {
	t.Helper()
	var requests atomic.Int32
	server := serve(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		publish(w, r)
	})
	body, err = newClient(addrOf(server)).Get(t.Context(), host)
	return body, requests.Load() > 0, err
}

func TestRFC8461_3_3_TheCertificateIsValidForThePolicyHost(t *testing.T) {
	ca := authority()
	for name, cert := range map[string]tls.Certificate{
		"its name":      testpki.Must(ca.Issue(host)),
		"several names": testpki.Must(ca.Issue("mta-sts.example.net", host)),
		"wildcard":      testpki.Must(ca.Issue("*.example.com")),
		"RSA":           testpki.Must(ca.IssueRSA(host)),
	} {
		t.Run(name, func(t *testing.T) {
			body, _, err := getFrom(t, cert)
			wantPolicy(t, body, err)
		})
	}
	for name, test := range map[string]struct {
		cert tls.Certificate
		text string
	}{
		"another name":     {testpki.Must(ca.Issue("mta-sts.example.net")), "valid for mta-sts.example.net, not"},
		"the domain":       {testpki.Must(ca.Issue("example.com")), "valid for example.com, not"},
		"a name below it":  {testpki.Must(ca.Issue("a." + host)), "valid for a."},
		"wildcard above":   {testpki.Must(ca.Issue("*.com")), "valid for *.com, not"},
		"partial wildcard": {testpki.Must(ca.Issue("mta*.example.com")), "valid for mta*.example.com, not"},
		"common name only": {testpki.Must(ca.IssueCommonNameOnly(host)), "Common Name"},
		"its IP address":   {testpki.Must(ca.Issue("127.0.0.1", public.String())), "not valid for any names"},
		"expired":          {testpki.Must(ca.IssueExpired(host)), "expired"},
		"not yet valid":    {testpki.Must(ca.IssueNotYetValid(host)), "not yet valid"},
		"self-signed":      {testpki.Must(testpki.SelfSigned(host)), "unknown authority"},
		"unknown root":     {testpki.Must(testpki.Must(testpki.New()).Issue(host)), "unknown authority"},
		"misconstrained":   {testpki.Must(ca.IssueMisconstrained(host)), "not authorized"},
	} {
		t.Run(name, func(t *testing.T) {
			body, asked, err := getFrom(t, test.cert)
			wantError(t, body, err, KindCertificate, test.text)
			if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
				t.Errorf("%v does not say which certificate", err)
			}
			if asked {
				t.Error("a request went to a host that is not the policy host")
			}
		})
	}
}

// The certificates that the server sends serve as intermediates, with any transport.
func TestRFC8461_3_3_TheChainMayGoThroughIntermediates(t *testing.T) {
	const host = "mta-sts.permitted.invalid"
	cert := testpki.Must(authority().IssueMisconstrained(host)) // the constraint permits this name
	server := serve(t, &tls.Config{Certificates: []tls.Certificate{cert}}, publish)
	for _, client := range []*Client{
		newClient(addrOf(server)),
		New(Config{Transport: foreign(server, &tls.Config{RootCAs: authority().Pool()})}),
	} {
		body, err := client.Get(t.Context(), host)
		wantPolicy(t, body, err)
	}
}

// Nil stands for the system's roots, which do not include the test's.
func TestRFC8461_3_3_TheRootsAreTheSystemsUnlessConfigured(t *testing.T) {
	client := newClient(addrOf(serve(t, nil, publish)))
	client.roots = nil
	body, err := client.Get(t.Context(), host)
	wantError(t, body, err, KindCertificate, "certificate")
}

func TestRFC8461_7_1_SNIIsThePolicyHost(t *testing.T) {
	var seen atomic.Value
	server := serve(t, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		seen.Store(hello.ServerName)
		cert := goodCert()
		return &cert, nil
	}}, publish)
	body, err := newClient(addrOf(server)).Get(t.Context(), host)
	wantPolicy(t, body, err)
	if seen.Load() != host {
		t.Errorf("SNI: %v", seen.Load())
	}
}

func TestRFC8461_7_2_TLSIsAtLeastVersion12(t *testing.T) {
	for version, good := range map[uint16]bool{
		tls.VersionTLS10: false,
		tls.VersionTLS11: false,
		tls.VersionTLS12: true,
		tls.VersionTLS13: true,
	} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			server := serve(t, &tls.Config{
				Certificates: []tls.Certificate{goodCert()},
				MinVersion:   version,
				MaxVersion:   version,
			}, publish)
			body, err := newClient(addrOf(server)).Get(t.Context(), host)
			if good {
				wantPolicy(t, body, err)
			} else {
				wantError(t, body, err, KindTransport, "protocol version")
			}
		})
	}
}

// A server that offers both HTTP/2 and HTTP/1.1 is asked in HTTP/1.1. A server with only
// HTTP/2 is an error.
func TestHTTP11IsChosenByALPN(t *testing.T) {
	server := serve(t, &tls.Config{
		Certificates: []tls.Certificate{goodCert()},
		NextProtos:   []string{"h2", "http/1.1"},
	}, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 || r.TLS.NegotiatedProtocol != "http/1.1" {
			t.Errorf("%s over %q", r.Proto, r.TLS.NegotiatedProtocol)
		}
		publish(w, r)
	})
	body, err := newClient(addrOf(server)).Get(t.Context(), host)
	wantPolicy(t, body, err)
}

func TestAServerWithoutTLSIsRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(publish)}
	go server.Serve(listener)
	defer server.Close()
	body, err := newClient(listener.Addr()).Get(t.Context(), host)
	wantError(t, body, err, KindTransport, "does not look like a TLS handshake")
}

// The names in a certificate are untrusted too.
func TestMessagesAboutCertificatesAreShortAndPrintable(t *testing.T) {
	names := []string{"a\x1b]0;x\x07\r\nb.example"}
	for range 90 {
		names = append(names, strings.Repeat("x", 200))
	}
	cert, err := authority().Sign(x509.Certificate{DNSNames: names})
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := getFrom(t, cert)
	wantError(t, body, err, KindCertificate, "a?]0;x???b.example")
	if text := err.Error(); len(text) > 600 {
		t.Errorf("%d bytes", len(text))
	}
}

// An invalid name could alter the URL, or be an address.
func TestAnInvalidHostNameIsNeverDialled(t *testing.T) {
	client := New(Config{LookupNetIP: resolveTo(public)})
	client.dialer.connect = func(_ context.Context, _, address string) (net.Conn, error) {
		t.Errorf("dialled %s", address)
		return nil, errors.New("no")
	}
	for _, name := range []string{
		"", ".", "a.", ".a", "a/b", "a@b", "a:443", "a?b", "a#b", "a b", "a\x00", "MTA-STS.example.com",
		"mta-sts.exämple.com", "192.0.2.1", "::1", "[::1]", strings.Repeat("a", 254),
	} {
		_, err := client.Get(t.Context(), name)
		failed, ok := errors.AsType[*Error](err)
		if !ok || kindOf(failed) != KindTransport || failed.Host != name {
			t.Errorf("%q: %v", name, err)
		} else if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q: the message is %q", name, err)
		}
	}
}
