package mtaststest

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
)

// An MX says how an MX host behaves. Its zero value offers STARTTLS, shows a good
// certificate and takes every message.
type MX struct {
	Certificate Certificate

	// NoSTARTTLS hides the extension, as an attacker does who strips it.
	NoSTARTTLS bool

	// RefuseSTARTTLS offers it and then answers 454.
	RefuseSTARTTLS bool

	// MaxTLS is the highest version that the host speaks, such as
	// [tls.VersionTLS11]. 0: the highest there is.
	MaxTLS uint16
}

// A Mail is a message that an MX host has taken.
type Mail struct {
	From string
	To   []string
	Data string // as received, dots unstuffed, with LF line ends

	// TLS is the session in which it came; nil for clear text.
	TLS *tls.ConnectionState
}

// AddMX makes host an MX host that behaves like mx. It does not touch the DNS: to
// publish MX records, set them in [World].DNS.
func (w *World) AddMX(host string, mx MX) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mxs[key(host)] = mx
}

// Mail returns the messages that host has taken, in order.
func (w *World) Mail(host string) []Mail {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mail[key(host)])
}

// Dial connects to an MX host of this World, at "mx.example.com:25" say; the port
// is not looked at. It has the form of [net.Dialer.DialContext]. The connection
// is a [net.Pipe]; close it, and the host is done with it too.
func (w *World) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	host = key(host)
	w.mu.Lock()
	_, ok := w.mxs[host]
	w.mu.Unlock()
	if !ok {
		return nil, refused(host, port)
	}
	client, server := net.Pipe()
	go w.ServeMX(newBuffered(server), host)
	return client, nil
}

// ServeMX speaks SMTP on conn as host, until the client quits or is gone, and
// closes it. It is for a listener on loopback, where Dial will not do.
func (w *World) ServeMX(conn net.Conn, host string) {
	host = key(host)
	w.mu.Lock()
	mx := w.mxs[host]
	w.mu.Unlock()
	s := &session{world: w, host: host, mx: mx}
	s.use(conn)
	defer func() { s.conn.Close() }()
	s.serve()
}

// session is one SMTP session (RFC 5321), as far as a sender can tell.
type session struct {
	world *World
	host  string
	mx    MX
	conn  net.Conn
	in    *bufio.Reader
	tls   *tls.ConnectionState
	mail  Mail
}

func (s *session) use(conn net.Conn) { s.conn, s.in = conn, bufio.NewReader(conn) }

func (s *session) reply(lines ...string) {
	io.WriteString(s.conn, strings.Join(lines, "\r\n")+"\r\n") // a lost client shows at the next read
}

func (s *session) serve() {
	s.reply("220 " + s.host + " ESMTP")
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		verb, argument, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		switch verb = strings.ToUpper(verb); verb {
		case "EHLO", "HELO":
			if s.mx.NoSTARTTLS || s.tls != nil {
				s.reply("250 " + s.host)
			} else {
				s.reply("250-"+s.host, "250 STARTTLS")
			}
		case "STARTTLS":
			if !s.startTLS() {
				return
			}
		case "MAIL":
			s.mail = Mail{From: path(argument), TLS: s.tls}
			s.reply("250 2.1.0 Ok")
		case "RCPT":
			s.mail.To = append(s.mail.To, path(argument))
			s.reply("250 2.1.5 Ok")
		case "DATA":
			s.reply("354 End data with <CR><LF>.<CR><LF>")
			if !s.data() {
				return
			}
			s.reply("250 2.0.0 Ok")
		case "RSET", "NOOP":
			s.reply("250 2.0.0 Ok")
		case "QUIT":
			s.reply("221 2.0.0 Bye")
			return
		default:
			s.reply("502 5.5.2 Command not recognized")
		}
	}
}

// startTLS reports whether the session can go on.
func (s *session) startTLS() bool {
	switch {
	case s.mx.NoSTARTTLS || s.tls != nil:
		s.reply("502 5.5.1 STARTTLS is not offered")
		return true
	case s.mx.RefuseSTARTTLS:
		s.reply("454 4.7.0 TLS not available due to local problem")
		return true
	}
	s.reply("220 2.0.0 Ready to start TLS")
	cfg := &tls.Config{
		Certificates: []tls.Certificate{s.world.certificate(s.host, s.mx.Certificate)},
		MaxVersion:   s.mx.MaxTLS,
	}
	if s.mx.MaxTLS != 0 {
		cfg.MinVersion = tls.VersionTLS10
	}
	conn := tls.Server(s.conn, cfg)
	if conn.Handshake() != nil {
		return false
	}
	state := conn.ConnectionState()
	s.tls = &state
	s.use(conn)
	return true
}

// data reads a message and keeps it; it reports whether the end was reached.
func (s *session) data() bool {
	var b strings.Builder
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return false
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "." {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
		b.WriteByte('\n')
	}
	s.mail.Data = b.String()
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mail[s.host] = append(w.mail[s.host], s.mail)
	s.mail = Mail{TLS: s.tls}
	return true
}

// path is the address in "FROM:<a@example.com> SIZE=10".
func path(argument string) string {
	_, rest, _ := strings.Cut(argument, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

// refused is the error of a connection that nobody takes.
func refused(host, port string) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: address(net.JoinHostPort(host, port)), Err: syscall.ECONNREFUSED}
}

// address is a net.Addr for an error message.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func parent(host string) string {
	_, rest, _ := strings.Cut(host, ".")
	return rest
}
