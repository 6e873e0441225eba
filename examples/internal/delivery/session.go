package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"slices"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/starttls"
)

// How long a host may take to reply: to a command or a block of the message, to the whole message
// (both RFC 5321, Section 4.5.3.2), and to RSET or QUIT, on which no message depends.
const (
	replyLimit = 5 * time.Minute
	finalLimit = 10 * time.Minute
	quitLimit  = 5 * time.Second
)

// maxReplies is the limit for all replies of a session to one message, in octets.
const maxReplies = 1 << 20

// A session is an SMTP session with one MX host.
type session struct {
	peer
	conn      *boundedConn
	smtp      *smtp.Client
	offersTLS bool        // in the reply to EHLO
	release   func() bool // undoes bind; false if ctx has ended the session
}

// connect opens a session up to EHLO. The end of ctx also ends the session.
func (s *Sender) connect(ctx context.Context, host string, addr netip.Addr) (*session, error) {
	conn, err := s.Dial(ctx, "tcp", net.JoinHostPort(addr.String(), s.Port))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	c := &session{peer: peer{host, addr}, conn: &boundedConn{conn, replyLimit, maxReplies}}
	c.bind(ctx)
	c.conn.wait() // for the greeting
	if c.smtp, err = smtp.NewClient(c.conn, host); err == nil {
		err = c.smtp.Hello(s.Helo)
	}
	if err == nil {
		c.offersTLS, err = starttls.Offered(c.smtp, s.Helo)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	return c, nil
}

// bind makes the end of ctx end the session.
func (c *session) bind(ctx context.Context) {
	c.release = context.AfterFunc(ctx, func() { c.conn.Close() })
}

// resume prepares an idle session for another message. It fails if the host has ended it.
func (c *session) resume(ctx context.Context) error {
	c.bind(ctx)
	c.conn.left, c.conn.limit = maxReplies, quitLimit
	defer func() { c.conn.limit = replyLimit }()
	return c.smtp.Reset()
}

// close ends the session, if it has not ended. It ignores the reply to QUIT: if a failed QUIT
// were a failure of the delivery, an accepted message would be delivered twice.
func (c *session) close() {
	if c.smtp != nil {
		c.conn.limit = quitLimit
		c.smtp.Quit()
	}
	c.release()
	c.conn.Close()
}

// send sends m. Where an error is returned, the host has not accepted m for the recipient, or the
// error wraps [ErrUnanswered].
func (c *session) send(m Message) map[string]error {
	if err := c.smtp.Mail(m.From); err != nil {
		return m.each(c.refusal("MAIL", err))
	}
	errs := make(map[string]error)
	for _, to := range m.To {
		if err := c.smtp.Rcpt(to); err != nil {
			errs[to] = c.refusal("RCPT", err)
		}
	}
	m.To = slices.DeleteFunc(slices.Clone(m.To), func(to string) bool { return errs[to] != nil })
	if len(m.To) > 0 {
		maps.Copy(errs, m.each(c.data(m.Data)))
	}
	return errs
}

// data sends the message itself. Once DATA has begun, the end of the context does not end the
// session: it could come between the host's acceptance and its reply.
func (c *session) data(message io.ReadSeeker) error {
	if !c.release() {
		return fmt.Errorf("%s: %w", c.host, context.Canceled)
	}
	if _, err := message.Seek(0, io.SeekStart); err != nil {
		return err
	}
	body, err := c.smtp.Data()
	if err != nil {
		return c.refusal("DATA", err)
	}
	if _, err := io.Copy(body, message); err != nil {
		return c.refusal("message", err)
	}
	c.conn.limit = finalLimit
	err = body.Close()
	if err == nil {
		return nil
	} else if _, answered := errors.AsType[*textproto.Error](err); !answered {
		err = fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
	return c.refusal("message", err)
}

// refusal wraps the error of a command. A 5yz reply is permanent (RFC 5321, Section 4.2.1), and so
// a [*Rejection]. A 530 in clear text is not: it requires STARTTLS (RFC 3207, Section 4), which
// another host may not. After any other error than a negative reply, refusal ends the session: the
// next reply could be the one to this command, and nothing may be sent after half a message.
func (c *session) refusal(command string, err error) error {
	reply, answered := errors.AsType[*textproto.Error](err)
	_, encrypted := c.smtp.TLSConnectionState()
	err = fmt.Errorf("%s: %s: %w", c.host, command, err)
	if !answered || reply.Code < 400 {
		c.conn.Close()
	}
	if answered && reply.Code/100 == 5 && (encrypted || reply.Code != 530) {
		return &Rejection{c.host, err}
	}
	return err
}

const errEndless = textproto.ProtocolError("the replies of the host are too long")

// A boundedConn has the limits that net/smtp lacks.
type boundedConn struct {
	net.Conn
	limit time.Duration // for the reply to each Write
	left  int           // octets until Read fails
}

func (c *boundedConn) wait() { c.SetDeadline(time.Now().Add(c.limit)) }

func (c *boundedConn) Write(b []byte) (int, error) {
	c.wait()
	return c.Conn.Write(b)
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errEndless
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}
