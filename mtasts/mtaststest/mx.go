package mtaststest

import (
	"context"
	"crypto/tls"
	"maps"
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

	// ClientCertificate demands a certificate of the client, any one, and ends the
	// session without. In TLS 1.3 the client's handshake has succeeded by then, and
	// it learns of the refusal when it reads.
	ClientCertificate bool

	// Replies are what the host says in clear text, and TLSReplies inside TLS, in
	// place of its usual replies. Neither stands in for the other.
	Replies, TLSReplies Replies
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
// publish MX records, set them in [World].DNS. A session that has begun goes on as it
// began. AddMX panics if mx has replies to what is no command.
func (w *World) AddMX(host string, mx MX) {
	mx.Replies, mx.TLSReplies = maps.Clone(mx.Replies), maps.Clone(mx.TLSReplies)
	mx.Replies.check()
	mx.TLSReplies.check()
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
// is made of a [net.Pipe]; close it, and the host is done with it too.
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
	return &clientEnd{Conn: client}, nil
}

// ServeMX speaks SMTP on conn as host, until the client quits or is gone, and
// closes it. It is for a listener of one's own, where neither Dial nor Listen will do.
func (w *World) ServeMX(conn net.Conn, host string) {
	host = key(host)
	w.mu.Lock()
	mx := w.mxs[host]
	w.mu.Unlock()
	s := &session{world: w, host: host, mx: mx, raw: conn}
	s.use(conn)
	s.serve()
	s.end()
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
