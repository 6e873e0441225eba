// Package mtaststest is for tests of mail servers. It provides every case of MTA-STS without a
// network. Start with [NewWorld]: it returns a small Internet in memory, with DNS, policy hosts
// and SMTP servers.
//
//	world := mtaststest.NewWorld()
//	world.Publish("example.com", "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, "mx.example.com"))
//	world.AddMX("mx.example.com", mtaststest.MX{Certificate: mtaststest.Expired})
//
//	client := mtasts.New(&cache.Memory{}, world.Options())
//	defer client.Close()
//	// deliver through world.Dial, then check world.Mail and world.Events
//
// The client validates names, policies and certificates with the same code as in production. A
// World works inside a testing/synctest bubble, where a test can cover a year in milliseconds.
//
// An [MX] can have any fault, and any replies. [World.Listen] gives it a TCP socket, for a mail
// server that cannot use [World.Dial].
//
// [TestStore] tests an implementation of [mtasts.Store], [TestShared] one of
// [mtasts.SharedStore], and [TestResolver] one of [mtasts.Resolver]. [SharedMemory] is a store
// for tests of several clients.
package mtaststest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// A World is DNS, policy hosts and MX hosts in memory, with a certificate authority of its own.
// All methods are safe for concurrent use.
type World struct {
	// DNS answers the clients. Publish sets TXT records in it. The test sets all others.
	DNS *resolver.Fake

	ca      *testpki.CA
	foreign *testpki.CA // not trusted

	mu       sync.Mutex
	hosts    map[string]PolicyHost // by name of the policy host
	requests map[string]int
	mxs      map[string]MX
	mail     map[string][]Mail
	certs    map[certKey]tls.Certificate
	events   []mtasts.Event

	sockets map[io.Closer]struct{} // of Listen
	serving sync.WaitGroup
	closed  bool
}

// NewWorld returns a World without records and hosts.
func NewWorld() *World {
	return &World{
		DNS:      &resolver.Fake{},
		ca:       testpki.Must(testpki.New()),
		foreign:  testpki.Must(testpki.New()),
		hosts:    make(map[string]PolicyHost),
		requests: make(map[string]int),
		mxs:      make(map[string]MX),
		mail:     make(map[string][]Mail),
		certs:    make(map[certKey]tls.Certificate),
		sockets:  make(map[io.Closer]struct{}),
	}
}

// Options returns new options for a client in this World. They have its DNS, its policy hosts,
// its root certificate, and [World.Report]. The caller may set other fields, and also replace
// Report:
//
//	opts := world.Options()
//	opts.Report = func(e mtasts.Event) {
//		world.Report(e) // for world.Events
//		server.report(e)
//	}
func (w *World) Options() *mtasts.Options {
	return &mtasts.Options{
		Resolver:  w.DNS,
		Transport: transport{w},
		RootCAs:   w.Roots(),
		Report:    w.Report,
	}
}

// Report records e for [World.Events].
func (w *World) Report(e mtasts.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// Roots returns the root certificate of this World. A sender that accepts any certificate
// where no policy applies passes this to [mtasts.Host.TLSConfig]:
//
//	&tls.Config{RootCAs: world.Roots(), InsecureSkipVerify: true}
func (w *World) Roots() *x509.CertPool { return w.ca.Pool() }

// Events returns the events that [World.Report] has recorded, in order.
func (w *World) Events() []mtasts.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// Policy returns the text of a policy file. It cuts maxAge to whole seconds.
func Policy(mode mtasts.Mode, maxAge time.Duration, mx ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\r\nmode: %s\r\n", mode)
	for _, pattern := range mx {
		fmt.Fprintf(&b, "mx: %s\r\n", pattern)
	}
	fmt.Fprintf(&b, "max_age: %d\r\n", int64(maxAge/time.Second))
	return b.String()
}

// Publish publishes a policy for domain: it sets the TXT record with id, and a policy host with
// a valid certificate and the text policy. It replaces an earlier record and host.
func (w *World) Publish(domain, id, policy string) {
	w.SetPolicyHost(domain, PolicyHost{Body: policy})
	w.DNS.Set("_mta-sts."+domain, resolver.Records{TXT: []string{"v=STSv1; id=" + id + ";"}})
}

// A PolicyHost is the behaviour of a policy host. The zero value answers 200 with an empty body
// of type text/plain.
type PolicyHost struct {
	Status      int         // 0 is 200
	Header      http.Header // nil is Content-Type: text/plain
	Body        string
	Certificate Certificate

	// Delay is the time until the answer. The request fails if its context ends before.
	Delay time.Duration

	// Unreachable refuses connections.
	Unreachable bool
}

// SetPolicyHost adds or replaces the policy host of domain. It does not change the DNS.
func (w *World) SetPolicyHost(domain string, h PolicyHost) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts["mta-sts."+key(domain)] = h
}

// Requests returns the number of requests for the policy of domain, answered or not.
func (w *World) Requests(domain string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests["mta-sts."+key(domain)]
}

// key is the form in which a World compares names: case and a final dot do not matter.
func key(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// transport is the http.RoundTripper between clients and policy hosts. The client validates the
// certificate in the response.
type transport struct{ world *World }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	name := key(req.URL.Hostname())
	w := t.world
	w.mu.Lock()
	w.requests[name]++
	host, ok := w.hosts[name]
	w.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}}
	}
	if host.Delay > 0 {
		timer := time.NewTimer(host.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if host.Unreachable {
		return nil, refused(name, "443")
	}
	if host.Certificate == WrongKey {
		return nil, errWrongKey
	}
	status := host.Status
	if status == 0 {
		status = http.StatusOK
	}
	header := host.Header.Clone()
	if header == nil {
		header = http.Header{"Content-Type": {"text/plain"}}
	}
	var chain []*x509.Certificate
	for _, der := range w.certificate(name, host.Certificate).Certificate {
		chain = append(chain, testpki.Must(x509.ParseCertificate(der)))
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          io.NopCloser(strings.NewReader(host.Body)),
		ContentLength: int64(len(host.Body)),
		TLS: &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true,
			ServerName: name, PeerCertificates: chain},
		Request: req,
	}, nil
}
