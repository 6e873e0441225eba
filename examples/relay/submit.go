package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
)

const (
	maxSessions   = 100
	maxRecipients = 100 // RFC 5321, Section 4.5.3.1.8
	maxSize       = 32 << 20
	submitLimit   = 5 * time.Minute // for a command, or for a whole message
)

// A wholeListener accepts connections whose end is not io.EOF. To go-smtp, io.EOF in the middle of a BDAT
// command would be the end of the message, which would be accepted.
type wholeListener struct{ net.Listener }

type wholeConn struct{ net.Conn }

func (l wholeListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return wholeConn{c}, err
}

func (c wholeConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// newServer returns the server that accepts messages into q. It accepts none after the end of ctx.
func newServer(ctx context.Context, q *queue) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &submission{ctx: ctx, queue: q}, nil
	}))
	server.Domain = q.sender.Helo
	server.MaxRecipients = maxRecipients
	server.MaxMessageBytes = maxSize
	server.ReadTimeout = submitLimit
	server.WriteTimeout = submitLimit
	return server
}

// A submission is a session of the server.
type submission struct {
	ctx   context.Context
	queue *queue
	from  string
	to    []string
}

var (
	errClosing   = refusal(421, "4.3.2", "Closing down")
	errSender    = refusal(501, "5.1.7", "The sender must be an ASCII address at a domain")
	errRecipient = refusal(501, "5.1.3", "The recipient must be an ASCII address at a domain")
	errLoop      = refusal(554, "5.4.6", "The message is in a loop")
	errLine      = refusal(554, "5.6.0", "A line is too long, or has a CR within")
	errFull      = refusal(452, "4.3.1", "No room now; try again later")
	errTrouble   = refusal(451, "4.3.0", "Not possible now; try again later")
)

func refusal(code int, status, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: status + " " + text}
}

func (s *submission) Reset()        { s.from, s.to = "", nil }
func (s *submission) Logout() error { return nil }

func (s *submission) Mail(from string, _ *smtp.MailOptions) error {
	if s.ctx.Err() != nil {
		return errClosing
	}
	if from != "" && cli.CheckAddress(from) != nil {
		return errSender
	}
	s.from = from
	return nil
}

func (s *submission) Rcpt(to string, _ *smtp.RcptOptions) error {
	if cli.CheckAddress(to) != nil {
		return errRecipient
	}
	if !slices.Contains(s.to, to) {
		s.to = append(s.to, to)
	}
	return nil
}

// strict fails at a CR without LF, which must not be sent (RFC 5321, Section 2.3.8). To some hosts it
// ends a line, so that they would see commands in the message.
type strict struct {
	io.Reader
	last byte
}

func (s *strict) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	for _, c := range b[:n] {
		if s.last == '\r' && c != '\n' {
			return 0, errLine
		}
		s.last = c
	}
	return n, err
}

// Data returns only errors that go-smtp sends as they are. It would make a 554 with the whole text
// of any other, such as that the disk is full.
func (s *submission) Data(text io.Reader) error {
	trace := fmt.Sprintf("Received: from localhost by %s with ESMTP; %s\r\n", s.queue.sender.Helo, date(time.Now()))
	err := s.queue.accept(s.from, s.to, io.MultiReader(strings.NewReader(trace), &strict{Reader: text}))
	reply, isReply := errors.AsType[*smtp.SMTPError](err)
	switch {
	case err == nil:
		return nil
	case isReply:
		return reply
	case errors.Is(err, smtp.ErrTooLongLine):
		return errLine
	}
	s.queue.log("not accepted: %v", err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errFull
	}
	return errTrouble
}
