package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

const (
	host   = "mta-sts.example.com"
	policy = "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 86400\n"
)

var (
	authority = sync.OnceValue(func() *testpki.CA { return testpki.Must(testpki.New()) })
	goodCert  = sync.OnceValue(func() tls.Certificate { return testpki.Must(authority().Issue(host)) })

	// public is the address of a policy host on the Internet.
	public = netip.MustParseAddr("9.9.9.9")
)

// resolveTo is a look-up that finds addrs.
func resolveTo(addrs ...netip.Addr) func(context.Context, string, string) ([]netip.Addr, error) {
	return func(context.Context, string, string) ([]netip.Addr, error) { return addrs, nil }
}

// newClient returns a Client that finds the address public for any policy host, and
// connects to server, a listener on loopback.
func newClient(server net.Addr) *Client {
	c := New(Config{RootCAs: authority().Pool(), LookupNetIP: resolveTo(public)})
	c.dialer.connect = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, server.Network(), server.String())
	}
	return c
}

// serve runs an HTTPS server with handler until the end of the test. A nil config stands
// for one with a valid certificate.
func serve(t testing.TB, config *tls.Config, handler http.HandlerFunc) *http.Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener, config, handler)
}

// serveOn is serve on a listener of any kind.
func serveOn(t testing.TB, listener net.Listener, config *tls.Config, handler http.HandlerFunc) *http.Server {
	t.Helper()
	if config == nil {
		config = &tls.Config{Certificates: []tls.Certificate{goodCert()}}
	}
	server := &http.Server{
		Addr:     listener.Addr().String(),
		Handler:  handler,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(tls.NewListener(listener, config))
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return server
}

// addrOf returns the address of server.
func addrOf(server *http.Server) net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(server.Addr))
}

// get fetches from a server with handler and a valid certificate.
func get(t *testing.T, handler http.HandlerFunc) (string, error) {
	t.Helper()
	return newClient(addrOf(serve(t, nil, handler))).Get(t.Context(), host)
}

// getRaw fetches from a server that reads a request and then writes only answer.
func getRaw(t *testing.T, answer string) (string, error) {
	t.Helper()
	return get(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, answer)
	})
}

// publish sends the policy.
func publish(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, policy)
}

// zipped returns gzip that decodes to n times block.
func zipped(block []byte, n int) []byte {
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	w.Write(block)
	w.Close()
	return bytes.Repeat(member.Bytes(), n) // members of gzip can follow each other
}

// wantPolicy checks that a Get succeeded.
func wantPolicy(t *testing.T, body string, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	} else if body != policy {
		t.Errorf("body %q, want %q", body, policy)
	}
}

// A Kind is what a test expects of an *Error.
type Kind int

const (
	KindTransport   Kind = iota + 1 // no answer, or not the whole
	KindCertificate                 // the host did not prove its name
	KindAnswer                      // the answer cannot be a policy file
)

func kindOf(err *Error) Kind {
	if err.Refused != "" {
		return KindAnswer
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return KindCertificate
	}
	return KindTransport
}

// wantError checks that a Get failed as kind, with text in its message, and
// returned nothing else.
func wantError(t *testing.T, body string, err error, kind Kind, text string) {
	t.Helper()
	failed, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		t.Errorf("got %q, %v; want an *Error with %q", body, err, text)
	case kindOf(failed) != kind || failed.Host != host || failed.Err == nil:
		t.Errorf("kind %d, host %q, cause %v; want kind %d, host %q", kindOf(failed), failed.Host, failed.Err, kind, host)
	case body != "":
		t.Errorf("body %q beside %v", body, err)
	case !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), host):
		t.Errorf("the message %q lacks %q or the host", err, text)
	}
}
