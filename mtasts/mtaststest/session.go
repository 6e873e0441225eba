package mtaststest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"time"
)

// session is one SMTP session (RFC 5321).
type session struct {
	world *World
	host  string
	mx    MX
	raw   net.Conn // the connection
	conn  net.Conn // raw, or TLS on it
	in    *bufio.Reader
	tls   *tls.ConnectionState
	mail  *Mail // the transaction; nil outside one
	over  bool  // the host ends the session
	cut   bool  // without a close_notify
}

func (s *session) use(conn net.Conn) { s.conn, s.in = conn, bufio.NewReader(conn) }

// reply returns the reply to verb: that of Replies, or else the usual one.
func (s *session) reply(verb, usual string) string {
	script := s.mx.Replies
	if s.tls != nil {
		script = s.mx.TLSReplies
	}
	if reply, ok := script[verb]; ok {
		return reply
	}
	return usual
}

// say sends a reply. It ends the session if the reply is HangUp or 421.
func (s *session) say(reply string) {
	switch {
	case reply == HangUp:
		s.over, s.cut = true, true
	case reply != "":
		io.WriteString(s.conn, wire(reply)) // if the client has gone, the next read fails
		s.over = s.over || strings.HasPrefix(reply, "421")
	}
}

// answer replies to verb and reports whether the reply begins with code.
func (s *session) answer(verb, usual, code string) bool {
	reply := s.reply(verb, usual)
	s.say(reply)
	return strings.HasPrefix(reply, code)
}

func (s *session) serve() {
	ready := s.answer("", "220 "+s.host+" ESMTP", "2")
	for !s.over {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		verb, argument, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		switch verb = strings.ToUpper(verb); {
		case verb == "QUIT":
			s.answer(verb, "221 2.0.0 Bye", "")
			return
		case !ready:
			s.answer(verb, "503 5.5.1 No service here", "")
		default:
			s.command(verb, argument)
		}
	}
}

func (s *session) command(verb, argument string) {
	switch verb {
	case "EHLO", "HELO":
		s.mail = nil // RFC 5321, Section 4.1.4
		usual := "250 " + s.host
		if verb == "EHLO" && !s.mx.NoSTARTTLS && s.tls == nil {
			usual = "250-" + s.host + "\n250 STARTTLS"
		}
		s.answer(verb, usual, "")
	case "STARTTLS":
		s.startTLS()
	case "MAIL":
		usual := "250 2.1.0 Ok"
		if s.mail != nil {
			usual = "503 5.5.1 Nested MAIL command"
		}
		if s.answer(verb, usual, "2") {
			s.mail = &Mail{From: path(argument), TLS: s.tls}
		}
	case "RCPT":
		usual := "250 2.1.5 Ok"
		if s.mail == nil {
			usual = "503 5.5.1 Need MAIL command"
		}
		if s.answer(verb, usual, "2") && s.mail != nil {
			s.mail.To = append(s.mail.To, path(argument))
		}
	case "DATA":
		usual := "354 End data with <CR><LF>.<CR><LF>"
		if s.mail == nil || len(s.mail.To) == 0 {
			usual = "503 5.5.1 Need RCPT command"
		}
		if s.answer(verb, usual, "3") {
			s.data()
		}
	case "RSET":
		s.mail = nil
		s.answer(verb, "250 2.0.0 Ok", "")
	case "NOOP":
		s.answer(verb, "250 2.0.0 Ok", "")
	default:
		s.answer(verb, "502 5.5.2 Command not recognized", "")
	}
}

func (s *session) startTLS() {
	usual := "220 2.0.0 Ready to start TLS"
	switch {
	case s.mx.NoSTARTTLS:
		usual = "502 5.5.1 STARTTLS is not offered"
	case s.tls != nil:
		usual = "503 5.5.1 TLS has been started"
	case s.mx.RefuseSTARTTLS:
		usual = "454 4.7.0 TLS not available due to local problem"
	}
	if !s.answer("STARTTLS", usual, "220") {
		return
	}
	cfg := &tls.Config{
		Certificates: []tls.Certificate{s.world.certificate(s.host, s.mx.Certificate)},
		MaxVersion:   s.mx.MaxTLS,
	}
	if s.mx.MaxTLS != 0 {
		cfg.MinVersion = tls.VersionTLS10
	}
	if s.mx.ClientCertificate {
		cfg.ClientAuth = tls.RequireAnyClientCert
	}
	conn := tls.Server(s.conn, cfg)
	if conn.Handshake() != nil { // the client has the alert
		s.over, s.cut = true, true
		return
	}
	state := conn.ConnectionState()
	s.tls, s.mail = &state, nil // RFC 3207, Section 4.2: discard all state
	s.use(conn)
	s.answer("", "", "")
}

// data reads a message, and keeps it if the host accepts it.
func (s *session) data() {
	var b strings.Builder
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			s.over = true
			return
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "." {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
		b.WriteByte('\n')
	}
	reply := s.reply(".", "250 2.0.0 Ok")
	if strings.HasPrefix(reply, "2") && s.mail != nil {
		s.mail.Data = b.String()
		s.world.deliver(s.host, *s.mail) // before the reply, after which a test may call Mail
	}
	s.mail = nil
	s.say(reply)
}

// deliver keeps mail for [World.Mail].
func (w *World) deliver(host string, mail Mail) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mail[host] = append(w.mail[host], mail)
}

// patience is how long the host waits until the client closes its end of a socket.
const patience = 5 * time.Second

// end closes the connection such that the client can read all that was sent. The system resets
// a socket that is closed with unread octets, and the client may then lose what it has not yet
// read, such as an alert.
func (s *session) end() {
	if conn, ok := s.conn.(*tls.Conn); ok && !s.cut {
		conn.CloseWrite() // close_notify
	}
	if socket, ok := s.raw.(interface{ CloseWrite() error }); ok && socket.CloseWrite() == nil {
		s.raw.SetReadDeadline(time.Now().Add(patience))
		io.Copy(io.Discard, s.raw)
	}
	s.raw.Close()
}

// path returns the address in "FROM:<a@example.com> SIZE=10".
func path(argument string) string {
	_, rest, _ := strings.Cut(argument, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}
