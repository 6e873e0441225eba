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

// An MX is the behaviour of an MX host. The zero value offers STARTTLS, presents a valid
// certificate and accepts every message.
type MX struct {
	Certificate Certificate

	// NoSTARTTLS omits the extension, as if an attacker had stripped it.
	NoSTARTTLS bool

	// RefuseSTARTTLS offers the extension and answers the command with 454.
	RefuseSTARTTLS bool

	// MaxTLS is the highest version of TLS that the host supports, such as [tls.VersionTLS11].
	// 0 is the highest version of crypto/tls.
	MaxTLS uint16

	// ClientCertificate requires a certificate of the client. Any certificate will do. Without
	// one, the host ends the session. In TLS 1.3 the client has completed its handshake by
	// then, and gets the alert with its next read.
	ClientCertificate bool

	// Replies replace the usual replies in clear text, and TLSReplies those inside TLS.
	Replies, TLSReplies Replies
}

// A Mail is a message that an MX host has accepted.
type Mail struct {
	From string
	To   []string
	Data string // without the dots of RFC 5321, Section 4.5.2, and with LF line ends

	// TLS is the state of the session; nil for clear text.
	TLS *tls.ConnectionState
}

// AddMX adds an MX host, or replaces its behaviour for new sessions. It does not change the
// DNS: to publish MX records, set them in [World].DNS. AddMX panics if a key of the replies is
// not one that [Replies] allows.
func (w *World) AddMX(host string, mx MX) {
	mx.Replies, mx.TLSReplies = maps.Clone(mx.Replies), maps.Clone(mx.TLSReplies)
	mx.Replies.check()
	mx.TLSReplies.check()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mxs[key(host)] = mx
}

// Mail returns the messages that host has accepted, in order.
func (w *World) Mail(host string) []Mail {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mail[key(host)])
}

// Dial connects to an MX host of this World, such as "mx.example.com:25", with any port. It has
// the form of [net.Dialer.DialContext]. The connection is a [net.Pipe]. The session ends when
// the caller closes it. Dial fails as if the connection was refused if AddMX was not called
// for the host, and with the error of ctx if that has ended.
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

// ServeMX serves one SMTP session on conn as host, and closes conn at the end. It is for a
// listener of the caller's own, where neither Dial nor Listen will do.
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

// refused is the error of a refused connection.
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
