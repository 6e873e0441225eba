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

	// wireLimit bounds, in octets on the wire, all that a host sends, from its hello
	// to the end of the file. The limits on header and body do not end what adds to
	// neither, such as TLS records without content or gzip that unfolds to nothing,
	// and would go on for the whole minute at the cost of a CPU. The largest file, its
	// certificates and a header of usual size fit.
	wireLimit = 80 << 10

	path         = "/.well-known/mta-sts.txt" // RFC 8461, Section 3.3
	userAgent    = "go-mtasts"
	cacheControl = "no-cache, no-store"
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

	// Port is where policy hosts listen. 0 stands for 443, and RFC 8461, Section
	// 3.3 leaves no choice; but tests may not be allowed to listen there.
	Port uint16
}

// A Client fetches policy files. Its methods may be called concurrently.
type Client struct {
	dialer  *dialer
	tls     *tls.Config
	foreign http.RoundTripper // Config.Transport
	roots   *x509.CertPool
}

// New returns a Client that works by config.
func New(config Config) *Client {
	return &Client{
		dialer: newDialer(config),
		tls: &tls.Config{
			RootCAs:    config.RootCAs,
			MinVersion: tls.VersionTLS12, // RFC 8461, Section 7.2
			NextProtos: []string{"http/1.1"},
			// A policy is no secret, so nothing is gained by a key exchange
			// that keeps one from the quantum computers to come; without it,
			// a fetch costs a third less. Authenticity is the certificate's.
			CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
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
	if c.foreign != nil {
		return c.getForeign(ctx, host)
	}
	raw, err := c.dialer.dial(ctx, host)
	if err != nil {
		return "", err
	}
	// A connection knows nothing of ctx. To close the TLS session would not do:
	// it waits for a peer that reads nothing.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	defer raw.Close()

	conn, err := c.secure(raw, host)
	if err != nil {
		return "", err
	}
	resp, err := exchange(conn, host)
	if err != nil {
		return "", err
	}
	body, err := readPolicy(resp)
	if err != nil {
		return "", err
	}
	conn.Close() // RFC 8446, Section 6.1: each side says that it closes
	return body, nil
}

// secure returns a TLS session on raw with host, whose certificate has been verified.
func (c *Client) secure(raw net.Conn, host string) (*tls.Conn, error) {
	config := c.tls.Clone()
	// It is both what SNI says (RFC 8461, Section 7.1) and the DNS-ID that
	// crypto/tls looks for in the certificate (Section 3.3). A common name
	// does not count with it.
	config.ServerName = host
	conn := tls.Client(&bounded{raw, wireLimit}, config)
	return conn, conn.Handshake()
}

// getForeign is get by a transport of the caller's.
func (c *Client) getForeign(ctx context.Context, host string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Cache-Control", cacheControl)

	// A RoundTripper, unlike an http.Client, follows no redirects and keeps no
	// cookies.
	resp, err := c.foreign.RoundTrip(req)
	if err != nil {
		return "", err
	}
	if resp == nil {
		return "", errors.New("the transport returned neither an answer nor an error")
	}
	if resp.Body != nil {
		defer resp.Body.Close()
	}
	if err := verify(resp.TLS, host, c.roots); err != nil {
		return "", err
	}
	if to := redirected(resp, req.URL); to != "" {
		return "", refuse("the transport followed a redirect to %s", quote(to))
	}
	body, err := readPolicy(resp)
	if err == nil && resp.ProtoMajor == 1 {
		err = checkEnd(resp, body)
	}
	return body, err
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
