package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// name is the name of domain n.
func name(n int) string { return "d" + strconv.Itoa(n) + ".example" }

// number is the n of a name that ends in the name of domain n.
func number(host string) (n int, err error) {
	rest, ok := strings.CutSuffix(strings.TrimSuffix(host, "."), ".example")
	digits := rest[strings.LastIndexByte(rest, '.')+1:]
	if !ok || !strings.HasPrefix(digits, "d") {
		return 0, errors.New("there is no such domain here: " + host)
	}
	return strconv.Atoi(digits[1:])
}

// dns is the TXT records of all domains, by a function: a map of a million names
// would be all that the heap shows.
type dns struct {
	txt     atomic.Pointer[zone]
	queries atomic.Int64
}

// A zone answers for domain n.
type zone func(ctx context.Context, n int) ([]string, error)

func newDNS(z zone) *dns {
	d := new(dns)
	d.set(z)
	return d
}

// set makes the answers be those of z from now on.
func (d *dns) set(z zone) { d.txt.Store(&z) }

func (d *dns) LookupTXT(ctx context.Context, host string) ([]string, error) {
	d.queries.Add(1)
	n, err := number(host)
	if err != nil {
		return nil, err
	}
	return (*d.txt.Load())(ctx, n)
}

// published is a TXT record with this id.
func published(id string) zone {
	return func(context.Context, int) ([]string, error) { return []string{"v=STSv1; id=" + id + ";"}, nil }
}

// absent is NXDOMAIN.
func absent(_ context.Context, n int) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: "_mta-sts." + name(n) + ".", IsNotFound: true}
}

// silent is a DNS server that does not answer.
func silent(_ context.Context, n int) ([]string, error) {
	return nil, &net.DNSError{Err: "i/o timeout", Name: "_mta-sts." + name(n) + ".", IsTimeout: true, IsTemporary: true}
}

// policy is the policy file of domain n.
func policy(n int) string {
	return "version: STSv1\r\nmode: enforce\r\nmx: mx1." + name(n) + "\r\nmx: mx2." + name(n) + "\r\nmax_age: 604800\r\n"
}

// authority issues the certificates of all policy hosts. One certificate is good for
// a number of neighbours, as with hosting providers, and few are held.
type authority struct {
	ca *testpki.CA

	mu    sync.Mutex
	certs [16]struct {
		first int
		cert  tls.Certificate
	}
}

func newAuthority() (*authority, error) {
	ca, err := testpki.New()
	return &authority{ca: ca}, err
}

// namesPerCertificate makes issuing as cheap as looking for the name.
const namesPerCertificate = 50

// certificate is for the policy host of domain n.
func (a *authority) certificate(n int) (tls.Certificate, error) {
	first := n - n%namesPerCertificate
	a.mu.Lock()
	defer a.mu.Unlock()
	held := &a.certs[first/namesPerCertificate%len(a.certs)]
	if held.cert.Leaf == nil || held.first != first {
		var hosts []string
		for i := range namesPerCertificate {
			hosts = append(hosts, "mta-sts."+name(first+i))
		}
		cert, err := a.ca.Issue(hosts...)
		if err != nil {
			return cert, err
		}
		held.first, held.cert = first, cert
	}
	return held.cert, nil
}

// hosts is all policy hosts, without a wire. They are reached by a function for the
// same reason as the DNS, and their certificates are judged as ever.
type hosts struct {
	*authority
	text     func(n int) string
	requests atomic.Int64
}

func (h *hosts) RoundTrip(req *http.Request) (*http.Response, error) {
	h.requests.Add(1)
	n, err := number(req.URL.Host)
	if err != nil {
		return nil, err
	}
	cert, err := h.certificate(n)
	if err != nil {
		return nil, err
	}
	return answer(req, cert.Leaf, h.text(n)), nil
}

// answer is a policy host's over TLS.
func answer(req *http.Request, cert *x509.Certificate, text string) *http.Response {
	return &http.Response{
		Status:        "200 OK",
		StatusCode:    http.StatusOK,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{"Content-Type": {"text/plain"}},
		Body:          io.NopCloser(strings.NewReader(text)),
		ContentLength: int64(len(text)),
		TLS:           &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, PeerCertificates: []*x509.Certificate{cert}},
		Request:       req,
	}
}
