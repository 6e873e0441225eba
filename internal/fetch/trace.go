package fetch

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// A Trace is what [Client.Observe] has seen, whatever became of it. All of it is untrusted.
type Trace struct {
	// UserAgent is set by the caller, to ask under another name. Empty: the usual one.
	UserAgent string

	Addresses []netip.Addr // of the host; nil if Config.Transport finds them
	Address   string       // that of the connection, with its port

	// TLS is the session, nil if none was begun. If the certificate has been refused, the
	// handshake is not complete, and the certificates are there all the same.
	TLS *tls.ConnectionState

	Response *http.Response // the header of the answer, nil if none came; Body is closed

	// Body is that of the answer, decoded and at most 64 KiB. It is there for most
	// answers that are refused, too. Whole means that it is all of it.
	Body  []byte
	Whole bool
}

// Observe is [Client.Get] for whoever wants to know how it went: it writes down in t what
// it sees on the way.
func (c *Client) Observe(ctx context.Context, policyHost string, t *Trace) (body string, err error) {
	return c.Get(context.WithValue(ctx, traceKey{}, t), policyHost)
}

// Dial connects with host at config.Port, at one of its addresses that the guard lets pass,
// and writes down in t what it sees.
func Dial(ctx context.Context, config Config, host string, t *Trace) (net.Conn, error) {
	return newDialer(config).dial(context.WithValue(ctx, traceKey{}, t), host)
}

// CheckAddr says why addr must not be dialled, nil if it may: a policy host is on the
// public Internet, or in one of the networks allowed.
func CheckAddr(addr netip.Addr, allowed []netip.Prefix) error { return guard(allowed).check(addr) }

type traceKey struct{}

// traceOf returns the Trace of a Get, nil if nobody observes it.
func traceOf(ctx context.Context) *Trace {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	return t
}

func (t *Trace) agent() string {
	if t == nil || t.UserAgent == "" {
		return "go-mtasts"
	}
	return t.UserAgent
}

func (t *Trace) resolved(addrs []netip.Addr) {
	if t != nil {
		t.Addresses = append([]netip.Addr{}, addrs...)
	}
}

func (t *Trace) connected(conn net.Conn) {
	if t != nil {
		t.Address = conn.RemoteAddr().String()
	}
}

// secured notes a session, and err, why it was refused.
func (t *Trace) secured(state *tls.ConnectionState, err error) {
	if t == nil || state == nil || state.Version == 0 { // the host has chosen none
		return
	}
	session := *state
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		session.PeerCertificates = refused.UnverifiedCertificates
	}
	t.TLS = &session
}

// answered notes an answer with what readPolicy has made of it. Of one that was refused by
// its header, it reads the body.
func (t *Trace) answered(resp *http.Response, body string, err error) {
	if t == nil {
		return
	}
	header := *resp
	t.Response = &header
	if t.Body, t.Whole = []byte(body), err == nil; err == nil || resp.Body == nil {
		return
	}
	content := io.Reader(resp.Body)
	if coding := strings.ToLower(resp.Header.Get("Content-Encoding")); coding == "gzip" || coding == "x-gzip" {
		if content, err = gzip.NewReader(resp.Body); err != nil {
			return
		}
	}
	t.Body, err = io.ReadAll(io.LimitReader(content, sizeLimit))
	t.Whole = err == nil && len(t.Body) < sizeLimit
}
