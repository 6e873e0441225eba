package diagnose

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/fetch"
	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	probeLimit = 30 * time.Second // for a connection, and then for a session

	// sessionLimit bounds, in octets, all that an MX host sends.
	sessionLimit = 256 << 10
)

// A session is what became of the session with one MX host.
type session struct {
	host string // as in the MX record
	name string // as an A-label; empty if host is no name

	state     *tls.ConnectionState // nil without TLS
	cause     error                // of an attempt that ended without TLS
	classical *tls.ConnectionState
	judged    bool
}

// probe opens a session with an MX host, as far as TLS (RFC 3207), and another one without
// the key exchange against quantum computers if the first fails in its handshake.
func (d *diagnosis) probe(ctx context.Context, s *session) *Probe {
	p := &Probe{State: Unknown, Addresses: []Address{}}
	if s.name == "" {
		p.State, p.Error = NotTested, "it is no host name"
		return p
	}
	conn, err := d.dial(ctx, s, p)
	if err == nil {
		p.Address, _, _ = net.SplitHostPort(conn.RemoteAddr().String())
		s.state, err = d.greet(ctx, conn, s.name, p, nil)
	}
	p.Error = errorText(err)
	if s.state != nil {
		p.State, p.TLS = Pass, describeTLS(s.state, s.name, d.opts.RootCAs, time.Now())
		return p
	}
	_, broken := errors.AsType[*handshakeError](err)
	if !broken && !errors.Is(err, mtasts.ErrNoSTARTTLS) {
		return p
	}
	p.State, s.cause = Fail, err
	if broken {
		if conn, err := d.dial(ctx, s, p); err == nil {
			classical := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
			if s.classical, err = d.greet(ctx, conn, s.name, new(Probe), classical); err == nil {
				p.Classical = describeTLS(s.classical, s.name, d.opts.RootCAs, time.Now())
			}
		}
	}
	return p
}

// dial connects to an MX host, at an address that the guard lets pass: a domain chooses
// its MX hosts, and could otherwise send us into any network.
func (d *diagnosis) dial(ctx context.Context, s *session, p *Probe) (net.Conn, error) {
	if d.opts.Dial != nil {
		return d.opts.Dial(ctx, "tcp", net.JoinHostPort(s.name, "25"))
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	var trace fetch.Trace
	conn, err := fetch.Dial(ctx, fetch.Config{AllowNets: d.opts.AllowNets, LookupNetIP: d.opts.Resolver.LookupNetIP, Port: 25}, s.name, &trace)
	p.Addresses = d.addresses(trace.Addresses)
	return conn, err
}

// A handshakeError is what kept TLS from coming about after the host had agreed to it.
type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

// greet talks to an MX host until the first reply inside TLS: only then is the
// handshake over on both sides. It closes conn.
func (d *diagnosis) greet(ctx context.Context, conn net.Conn, name string, p *Probe, curves []tls.CurveID) (*tls.ConnectionState, error) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(probeLimit))
	limited := bounded{conn, io.LimitReader(conn, sessionLimit)}

	text := textproto.NewConn(limited)
	if _, _, err := text.ReadResponse(220); err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	answer, err := command(text, 250, "EHLO "+d.opts.Helo)
	if err != nil {
		return nil, fmt.Errorf("EHLO: %w", err)
	}
	for line := range strings.Lines(answer) {
		fields := strings.Fields(line) // RFC 5321, Section 2.4: keywords come in any case
		p.STARTTLS = p.STARTTLS || len(fields) > 0 && strings.EqualFold(fields[0], "STARTTLS")
	}
	if !p.STARTTLS {
		command(text, 221, "QUIT")
		return nil, mtasts.ErrNoSTARTTLS
	}
	if _, err := command(text, 220, "STARTTLS"); err != nil {
		return nil, fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, err)
	}

	// The certificate is judged afterwards, and old versions are offered, so that there
	// is something to describe.
	host, err := mtasts.NoPolicy(d.r.Domain).CheckMX(name)
	if err != nil {
		return nil, err
	}
	cfg := host.TLSConfig(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, CurvePreferences: curves})
	session := tls.Client(limited, cfg)
	if err := session.HandshakeContext(ctx); err != nil {
		return nil, &handshakeError{err}
	}
	text = textproto.NewConn(session)
	_, err = command(text, 250, "EHLO "+d.opts.Helo)
	if _, reply := errors.AsType[*textproto.Error](err); err != nil && !reply {
		return nil, &handshakeError{err} // in TLS 1.3 a host refuses a client after its handshake
	}
	state := session.ConnectionState()
	command(text, 221, "QUIT")
	return &state, nil
}

// command sends a command and returns the reply, which is an error if it has another code.
func command(text *textproto.Conn, code int, line string) (string, error) {
	if err := text.PrintfLine("%s", line); err != nil {
		return "", err
	}
	_, reply, err := text.ReadResponse(code)
	return reply, err
}

// bounded is a connection that ends when a host has sent too much.
type bounded struct {
	net.Conn
	limited io.Reader
}

func (b bounded) Read(p []byte) (int, error) { return b.limited.Read(p) }

func (d *diagnosis) judgeProbe(mx *MX, s *session) {
	p := mx.Probe
	if s.judged = p != nil && p.State != NotTested; !s.judged {
		return
	}
	a := args{"mx": mx.Host, "error": p.Error}
	switch {
	case s.state != nil:
		if s.state.Version < tls.VersionTLS12 {
			a["version"] = p.TLS.Version
			d.add("mx-tls-old", mx.Host, a)
		}
		d.judgeCertificate(p.TLS, "mx", mx.Host)
	case s.classical != nil:
		d.add("mx-hello-too-large", mx.Host, a)
	case errors.Is(s.cause, mtasts.ErrNoSTARTTLS):
		d.add("mx-no-starttls", mx.Host, a)
	case s.cause != nil:
		d.add("mx-tls-failed", mx.Host, a)
	case noneAllowed(p.Addresses):
		d.add("mx-not-public", mx.Host, a)
	default:
		d.add("mx-unreachable", mx.Host, a)
	}
}
