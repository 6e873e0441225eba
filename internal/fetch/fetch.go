// Package fetch gets the policy file of a domain from its policy host, over
// HTTPS (RFC 8461, Section 3.3). [Client.Get] is the whole of it. Whatever
// keeps the file from coming, unchanged and from the host itself, is an
// [*Error]; what the file says is not looked at.
//
// The name of a policy host, and the addresses behind it, are the choice of
// whoever owns a recipient domain, hence of strangers. So each address is
// judged before it is dialled: a policy host lives on the public Internet, or
// where Config.AllowNets says.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const (
	// timeLimit is for a Get as a whole, from the look-up of the address to
	// the last byte of the file. RFC 8461, Section 3.3: "A suggested timeout
	// is one minute". A limit on each step would not end a body that drips.
	timeLimit = time.Minute

	// headerLimit is in bytes and bounds the header of an answer, which no
	// part of the RFC does.
	headerLimit = 64 << 10

	// wireLimit is in octets too and bounds all that a host sends, from its
	// hello to the end of the file, as it comes over the wire. It is the limit
	// for what adds nothing to the header or the body, and would go on for the
	// whole minute at the cost of a CPU: records of one octet, or gzip that
	// unfolds to nothing. The largest file, its certificates and a header fit.
	wireLimit = 80 << 10

	path = "/.well-known/mta-sts.txt" // RFC 8461, Section 3.3
)

// A Config says how policy hosts are reached. Its zero value is ready: the
// system's resolver and roots, and the public Internet alone.
type Config struct {
	// Transport makes the request in place of a private transport, for
	// instance through a proxy. The rules for the certificate and the answer
	// hold for it just the same, a minimum of TLS 1.2 and the limit of one
	// minute included, but it finds and dials its addresses itself:
	// AllowNets and LookupNetIP have no say. It must heed the request's
	// context and, as http.RoundTripper demands, must not follow redirects.
	Transport http.RoundTripper

	// RootCAs are the authorities that may vouch for a policy host. Nil
	// stands for the system's; with a Transport that has verified the host by
	// roots of its own, it stands for those.
	RootCAs *x509.CertPool

	// AllowNets are the networks where policy hosts may live besides the
	// public Internet.
	AllowNets []netip.Prefix

	// LookupNetIP finds the addresses of a policy host; network is "ip" and
	// host ends in a dot. Nil stands for net.DefaultResolver's.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A Client fetches policy files. Its methods may be called concurrently.
type Client struct {
	dialer    *dialer
	tls       *tls.Config
	transport *http.Transport   // the private one
	foreign   http.RoundTripper // Config.Transport
	roots     *x509.CertPool
}

// New returns a Client that works by config.
func New(config Config) *Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &Client{
		dialer: newDialer(config.LookupNetIP, config.AllowNets),
		tls: &tls.Config{
			RootCAs:    config.RootCAs,
			MinVersion: tls.VersionTLS12, // RFC 8461, Section 7.2
			NextProtos: []string{"http/1.1"},
			// A policy is no secret, so nothing is gained by a key exchange
			// that keeps one from the quantum computers to come; without it,
			// a fetch costs a third less. Authenticity is the certificate's.
			CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
		},
		transport: &http.Transport{
			DialTLSContext: handOver,
			Proxy:          nil, // the environment has no say in who vouches for a policy
			Protocols:      protocols,
			// A policy host is asked once a day at most: a connection kept
			// would only be a socket and two goroutines kept.
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: headerLimit,
		},
		foreign: config.Transport,
		roots:   config.RootCAs,
	}
}

// Get fetches the policy file of policyHost, which is "mta-sts." and the
// policy domain as lower-case A-labels without a final dot, and returns it
// whole, at most 64 KiB. It takes no longer than a minute, and leaves nothing
// behind: no cookie, no cached answer, and no connection but those that
// Config.Transport may keep.
//
// An error is an *Error. One that is due to ctx satisfies errors.Is with
// ctx.Err(), one that is due to the time limit context.DeadlineExceeded; a
// *net.DNSError or *tls.CertificateVerificationError is found by errors.As.
func (c *Client) Get(ctx context.Context, policyHost string) (body string, err error) {
	limited, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	body, err = c.get(limited, policyHost)
	if err == nil {
		return body, nil
	}
	if ended := limited.Err(); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	if ctx.Err() == nil && limited.Err() != nil {
		err = fmt.Errorf("no complete answer within %v: %w", timeLimit, err)
	}
	return "", newError(policyHost, err)
}

// get is Get without the care for times and the shape of errors.
func (c *Client) get(ctx context.Context, host string) (string, error) {
	if err := checkHost(host); err != nil {
		return "", err
	}
	var transport http.RoundTripper = c.transport
	if c.foreign != nil {
		transport = c.foreign
	} else {
		conn, err := c.connect(ctx, host)
		if err != nil {
			return "", err
		}
		// The connection ends with ctx, hence with the Get. To close the TLS
		// session would not do: it waits for a peer that reads nothing.
		context.AfterFunc(ctx, func() { conn.NetConn().Close() })
		ctx = context.WithValue(ctx, connKey{}, conn)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "go-mtasts")
	// RFC 8461, Section 3.3: "HTTP caching MUST NOT be used", not by a cache
	// on the way either.
	req.Header.Set("Cache-Control", "no-cache, no-store")

	// A RoundTripper, unlike an http.Client, follows no redirects and keeps no
	// cookies.
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	if resp == nil {
		return "", errors.New("the transport returned neither an answer nor an error")
	}
	if resp.Body != nil {
		defer resp.Body.Close()
	}
	if c.foreign != nil {
		if err := verify(resp.TLS, host, c.roots); err != nil {
			return "", err
		}
	}
	if to := redirected(resp, req.URL); to != "" {
		return "", refuse("the transport followed a redirect to %s", quote(to))
	}
	body, err := readPolicy(resp)
	if err == nil && (c.foreign == nil || resp.ProtoMajor == 1) {
		err = checkEnd(resp, body)
	}
	return body, err
}

// Close lets go of what the Client holds. A Transport from the Config is the
// caller's and stays as it is.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
}

type connKey struct{}

// connect returns a TLS session with host, whose certificate has been verified.
func (c *Client) connect(ctx context.Context, host string) (*tls.Conn, error) {
	raw, err := c.dialer.dial(ctx, host)
	if err != nil {
		return nil, err
	}
	config := c.tls.Clone()
	// It is both what SNI says (RFC 8461, Section 7.1) and the DNS-ID that
	// crypto/tls looks for in the certificate (Section 3.3). A common name
	// does not count with it.
	config.ServerName = host
	conn := tls.Client(&bounded{raw, wireLimit}, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// handOver gives the private transport the connection that its request brings
// along. Left to connect by itself, the transport would do so in the
// background and with a context of its own, and a handshake that never ends
// would outlive the Get.
func handOver(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, ok := ctx.Value(connKey{}).(*tls.Conn)
	if !ok {
		return nil, errors.New("fetch: a request without a connection")
	}
	return conn, nil
}

// checkHost makes sure that host is a name, so that it can not alter the URL,
// name a port, or be an address that escapes the resolver.
func checkHost(host string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-._"
	_, err := netip.ParseAddr(host)
	if err == nil || len(host) == 0 || len(host) > 253 || strings.Trim(host, letters) != "" ||
		strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") {
		return errors.New("not the name of a host in lower-case A-labels without a final dot")
	}
	return nil
}
