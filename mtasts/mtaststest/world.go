// Package mtaststest lets a mail server's tests meet every case of MTA-STS
// without a network. Begin with [NewWorld]: a small Internet in memory, with
// DNS, policy hosts, and MX hosts that speak SMTP.
//
//	world := mtaststest.NewWorld()
//	world.Publish("example.com", "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, "mx.example.com"))
//	world.AddMX("mx.example.com", mtaststest.MX{Certificate: mtaststest.Expired})
//
//	client := mtasts.New(&cache.Memory{}, world.Options())
//	defer client.Close()
//	// deliver through world.Dial, then look at world.Mail and world.Events
//
// Names, policies and certificates are judged by the same code as in production;
// only the wires are missing. A World works inside a testing/synctest bubble,
// where a policy's year passes in no time.
//
// An [MX] can be told what to reply, and [World.Listen] puts it on a TCP socket, for a
// mail server whose dialler cannot be replaced.
//
// [TestStore] is the contract of [mtasts.Store] as a test, and [TestResolver] that of
// [mtasts.Resolver].
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

// A World is DNS, policy hosts and MX hosts in memory, with a certificate
// authority of its own. All methods may be called concurrently, also while
// clients are at work in it.
type World struct {
	// DNS answers the clients. Publish adds to it; set it for everything else.
	DNS *resolver.Fake

	ca      *testpki.CA
	foreign *testpki.CA // that nobody trusts

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

// NewWorld returns a World in which nothing is published.
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

// Options returns new options for a client that lives in this World: its DNS,
// its policy hosts, its roots, and [World.Report]. The caller may set other fields,
// and Report too:
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

// Report keeps e for [World.Events].
func (w *World) Report(e mtasts.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// Roots returns the one root that is trusted in this World. For a sender that
// takes any certificate where no policy speaks, pass this to
// [mtasts.Host.TLSConfig]:
//
//	&tls.Config{RootCAs: world.Roots(), InsecureSkipVerify: true}
func (w *World) Roots() *x509.CertPool { return w.ca.Pool() }

// Events returns what has been reported so far, in order.
func (w *World) Events() []mtasts.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// Policy returns the text of a policy file.
func Policy(mode mtasts.Mode, maxAge time.Duration, mx ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\r\nmode: %s\r\n", mode)
	for _, pattern := range mx {
		fmt.Fprintf(&b, "mx: %s\r\n", pattern)
	}
	fmt.Fprintf(&b, "max_age: %d\r\n", int64(maxAge/time.Second))
	return b.String()
}

// Publish makes domain publish a policy: a TXT record with id, and a policy host
// with a good certificate that serves policy. It replaces what was published.
func (w *World) Publish(domain, id, policy string) {
	w.SetPolicyHost(domain, PolicyHost{Body: policy})
	w.DNS.Set("_mta-sts."+domain, resolver.Records{TXT: []string{"v=STSv1; id=" + id + ";"}})
}

// A PolicyHost says how a policy host answers. Its zero value answers 200 with
// an empty text/plain body.
type PolicyHost struct {
	Status      int         // 0: 200
	Header      http.Header // nil: Content-Type: text/plain
	Body        string
	Certificate Certificate

	// Delay is how long the answer takes. The request ends with its context.
	Delay time.Duration

	// Unreachable refuses connections.
	Unreachable bool
}

// SetPolicyHost makes the policy host of domain answer like h. A domain for which
// it was never called has no policy host.
func (w *World) SetPolicyHost(domain string, h PolicyHost) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts["mta-sts."+key(domain)] = h
}

// Requests returns how often the policy host of domain was asked for the policy,
// whether or not it answered.
func (w *World) Requests(domain string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests["mta-sts."+key(domain)]
}

// key is the form in which a World compares names, as the DNS does.
func key(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// transport is the http.RoundTripper between clients and policy hosts. It shows a
// certificate and leaves it to the client to judge it.
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
