package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// A world is the DNS and the policy hosts of all domains. Functions make its answers: a map of a
// million names would dominate the heap. Scenarios about sockets use real ones on loopback.
type world struct {
	record            func(n int) string // the TXT record; "" for none
	text              func(n int) string // the policy file
	silent            atomic.Bool        // no DNS server answers
	queries, requests atomic.Int64

	ca    *testpki.CA
	mu    sync.Mutex
	certs map[int]*tls.Certificate // by the first domain; a few
}

// newWorld returns a world with a policy for every domain.
func newWorld() *world {
	return &world{record: published("1"), text: policy, ca: testpki.Must(testpki.New()), certs: make(map[int]*tls.Certificate)}
}

// name returns the name of domain n.
func name(n int) string { return "d" + strconv.Itoa(n) + ".example" }

// number returns the n of a host below the name of domain n.
func number(host string) int {
	_, rest, _ := strings.Cut(host, ".d")
	digits, _, _ := strings.Cut(rest, ".")
	return testpki.Must(strconv.Atoi(digits))
}

// policy returns the policy file of domain n.
func policy(n int) string {
	return "version: STSv1\r\nmode: enforce\r\nmx: mx1." + name(n) + "\r\nmx: mx2." + name(n) + "\r\nmax_age: 604800\r\n"
}

// published returns a record function for this id.
func published(id string) func(int) string {
	return func(int) string { return "v=STSv1; id=" + id + ";" }
}

func (w *world) LookupTXT(_ context.Context, host string) ([]string, error) {
	w.queries.Add(1)
	if w.silent.Load() {
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true, IsTemporary: true}
	}
	if record := w.record(number(host)); record != "" {
		return []string{record}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// certificate returns one for this policy host and its neighbours, as hosting providers do.
func (w *world) certificate(host string) *tls.Certificate {
	const names = 50 // of a certificate, so that to issue it is cheap
	first := number(host) / names * names
	w.mu.Lock()
	defer w.mu.Unlock()
	if cert := w.certs[first]; cert != nil {
		return cert
	}
	var hosts []string
	for i := range names {
		hosts = append(hosts, "mta-sts."+name(first+i))
	}
	if len(w.certs) == 16 {
		clear(w.certs)
	}
	cert := testpki.Must(w.ca.Issue(hosts...))
	w.certs[first] = &cert
	return &cert
}

func (w *world) ServeHTTP(res http.ResponseWriter, req *http.Request) {
	w.requests.Add(1)
	res.Header().Set("Content-Type", "text/plain")
	io.WriteString(res, w.text(number(req.Host)))
}

// RoundTrip answers a request to a policy host without a connection.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	leaf := w.certificate(req.Host).Leaf
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, req)
	res := rec.Result()
	res.Request, res.ContentLength = req, int64(rec.Body.Len())
	res.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, PeerCertificates: []*x509.Certificate{leaf}}
	return res, nil
}

// A roundTripper is a function as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
