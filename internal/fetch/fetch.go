// Package fetch gets the policy file of a domain from its policy host, over HTTPS (RFC
// 8461, Section 3.3). [Client.Get] returns the file whole and unchanged, or an [*Error].
// It does not parse the file.
//
// The owner of a recipient domain chooses the name of the policy host and its addresses,
// so both are untrusted. Each address is checked before it is dialled: it must be on the
// public Internet, or in Config.AllowNets.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"net/http"
	"net/netip"
	"strings"
	"time"
)

// timeLimit is for a Get as a whole: a limit on each step would not end a body that
// comes an octet at a time. RFC 8461, Section 3.3: "A suggested timeout is one minute".
const timeLimit = time.Minute

// A Config says how policy hosts are reached. The zero value uses the system's resolver
// and roots, and accepts only addresses on the public Internet.
type Config struct {
	// Transport makes the request instead of this package, for instance through a
	// proxy. The same rules apply to the certificate and the answer, with at least
	// TLS 1.2 and the limit of one minute. The transport finds and dials addresses by
	// its own rules: AllowNets and LookupNetIP have no effect. It must obey the
	// request's context. As http.RoundTripper demands, it must not follow redirects.
	Transport http.RoundTripper

	// RootCAs are the authorities that may vouch for a policy host. Nil stands for
	// those by which Transport has verified the host, or else for the system's.
	RootCAs *x509.CertPool

	// AllowNets are the networks where policy hosts may be besides the public
	// Internet.
	AllowNets []netip.Prefix

	// LookupNetIP finds the addresses of a policy host. The network is "ip", and host
	// ends in a dot. Nil stands for that of net.DefaultResolver.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)

	// Port is where policy hosts listen. 0 stands for 443, the only port that RFC
	// 8461, Section 3.3 allows. Another one is for tests.
	Port uint16
}

// A Client fetches policy files. Its methods may be called concurrently.
type Client struct {
	dialer  *dialer
	foreign http.RoundTripper // Config.Transport
	roots   *x509.CertPool
}

// New returns a Client with a copy of config.
func New(config Config) *Client {
	return &Client{dialer: newDialer(config), foreign: config.Transport, roots: config.RootCAs}
}

// Get fetches the policy file of policyHost, which is "mta-sts." and the policy domain
// as lower-case A-labels without a final dot. The file has at most 64 KiB. Get takes a
// minute at most. Afterwards it keeps no cookie, no cached answer, and no connection but
// those that Config.Transport may keep.
//
// The error is an *Error. If ctx has ended, it wraps ctx.Err(); if the minute is over,
// it wraps context.DeadlineExceeded. It also wraps the *net.DNSError or
// *tls.CertificateVerificationError that caused it.
func (c *Client) Get(ctx context.Context, policyHost string) (body string, err error) {
	limited, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	if c.foreign != nil {
		body, err = c.getForeign(limited, policyHost)
	} else {
		body, err = c.get(limited, policyHost)
	}
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

func (c *Client) get(ctx context.Context, host string) (string, error) {
	req, err := newRequest(ctx, host)
	if err != nil {
		return "", err
	}
	raw, err := c.dialer.dial(ctx, host)
	if err != nil {
		return "", err
	}
	// The end of ctx closes the TCP connection. Close of a TLS session can wait for a
	// peer that reads nothing.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	defer raw.Close()

	traceOf(ctx).connected(raw)
	wire := &bounded{raw, wireLimit}
	conn := tls.Client(wire, &tls.Config{
		// The name is both in SNI (RFC 8461, Section 7.1) and the DNS-ID that the
		// certificate must have (Section 3.3). A common name does not count.
		ServerName: host,
		RootCAs:    c.roots,
		MinVersion: tls.VersionTLS12, // RFC 8461, Section 7.2
		NextProtos: []string{"http/1.1"},
		// A policy is no secret, so it needs no key exchange that resists quantum
		// computers. Without one a fetch costs a third less.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
	})
	body, err := exchange(conn, req)
	session := conn.ConnectionState()
	traceOf(ctx).secured(&session, err)
	if err != nil {
		// What has come by then may look malformed. A fault of the certificate counts.
		if wire.left == 0 && conn.ConnectionState().HandshakeComplete {
			err = errTooMuch
		}
		return "", err
	}
	conn.Close() // RFC 8446, Section 6.1: each side sends close_notify
	return body, nil
}

// getForeign is get by Config.Transport.
func (c *Client) getForeign(ctx context.Context, host string) (string, error) {
	req, err := newRequest(ctx, host)
	if err != nil {
		return "", err
	}
	// A RoundTripper, unlike an http.Client, keeps no cookies.
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
	err = verify(resp.TLS, host, c.roots)
	traceOf(ctx).secured(resp.TLS, err)
	if err != nil {
		return "", err
	}
	if got := resp.Request; got != nil && got.URL != nil && got.URL.String() != req.URL.String() {
		return "", refuse(RefusedStatus, "the transport followed a redirect to %+.80q; it must not", got.URL.String())
	}
	body, err := readPolicy(resp)
	traceOf(ctx).answered(resp, body, err)
	if err == nil && resp.ProtoMajor == 1 {
		err = checkEnd(resp, body)
	}
	return body, err
}

// newRequest returns the request for the policy file of host.
func newRequest(ctx context.Context, host string) (*http.Request, error) {
	if err := checkHost(host); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", traceOf(ctx).agent())
	// RFC 8461, Section 3.3: "HTTP caching MUST NOT be used", also by a proxy.
	req.Header.Set("Cache-Control", "no-cache, no-store")
	return req, nil
}

// checkHost returns an error unless host is a name. Anything else could alter the URL,
// name a port, or be an address for which there is no look-up.
func checkHost(host string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-._"
	_, err := netip.ParseAddr(host)
	if err == nil || len(host) == 0 || len(host) > 253 || strings.Trim(host, letters) != "" ||
		strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") {
		return errors.New("the name of the host must be lower-case A-labels without a final dot")
	}
	return nil
}
