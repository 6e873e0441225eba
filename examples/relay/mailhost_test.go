package main

import (
	"crypto/tls"
	"errors"
	"io"
	stdlog "log"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
)

// A mailhost is an MX host that can refuse single recipients.
type mailhost struct {
	refuse func(to string) error // nil: nobody is refused
	data   func() error          // is called before a message is accepted; nil: all are

	accept func(delivered) // is called for each message that is accepted

	mu       sync.Mutex
	mail     []delivered
	sessions int
	open     int        // of the sessions
	ended    *sync.Cond // one of them

	conns  chan net.Conn
	server *smtp.Server
}

type delivered struct {
	from string
	to   []string
	text string
}

// newMailhost starts a host that offers STARTTLS if there is a certificate.
func newMailhost(certificates ...tls.Certificate) *mailhost {
	h := &mailhost{conns: make(chan net.Conn)}
	h.ended = sync.NewCond(&h.mu)
	h.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &mailSession{host: h}, nil
	}))
	h.server.ErrorLog = stdlog.New(io.Discard, "", 0)
	if len(certificates) > 0 {
		h.server.TLSConfig = &tls.Config{Certificates: certificates}
	}
	go h.server.Serve(listener{h.conns})
	return h
}

// serve serves one connection. It returns at once.
func (h *mailhost) serve(conn net.Conn) {
	h.mu.Lock()
	h.sessions++
	h.open++
	h.mu.Unlock()
	h.conns <- &openConn{conn, sync.OnceFunc(func() {
		h.mu.Lock()
		h.open--
		h.mu.Unlock()
		h.ended.Broadcast()
	})}
}

// wait waits until all sessions have ended.
func (h *mailhost) wait() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.open > 0 {
		h.ended.Wait()
	}
}

// An openConn calls closed when it has been closed.
type openConn struct {
	net.Conn
	closed func()
}

func (c *openConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// close waits until the clients have ended their sessions.
func (h *mailhost) close() {
	h.wait()
	h.server.Close()
	close(h.conns)
}

// received returns the messages, each as its recipients.
func (h *mailhost) received() []delivered {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.mail)
}

// sessionsSoFar returns how many sessions have begun.
func (h *mailhost) sessionsSoFar() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions
}

type mailSession struct {
	host *mailhost
	mail delivered
}

func (s *mailSession) Reset()        { s.mail = delivered{} }
func (s *mailSession) Logout() error { return nil }

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.mail.from = from
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.host.refuse != nil {
		if err := s.host.refuse(to); err != nil {
			return err
		}
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *mailSession) Data(text io.Reader) error {
	var b strings.Builder
	if _, err := io.Copy(&b, text); err != nil {
		return err
	}
	if s.host.data != nil {
		if err := s.host.data(); err != nil {
			return err
		}
	}
	s.mail.text = b.String()
	if s.host.accept != nil {
		s.host.accept(s.mail)
	}
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	s.host.mail = append(s.host.mail, s.mail)
	return nil
}

func reply(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: text}
}

// A listener accepts the connections of a channel.
type listener struct{ conns chan net.Conn }

func (l listener) Accept() (net.Conn, error) {
	if conn, ok := <-l.conns; ok {
		return conn, nil
	}
	return nil, errors.New("closed")
}

func (l listener) Close() error   { return nil }
func (l listener) Addr() net.Addr { return &net.TCPAddr{} }
