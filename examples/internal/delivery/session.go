package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// How long a host may take for a step (RFC 5321, Section 4.5.3.2).
const (
	replyLimit = 5 * time.Minute  // the greeting; EHLO, STARTTLS with the handshake, MAIL, RCPT
	dataLimit  = 2 * time.Minute  // DATA
	blockLimit = 3 * time.Minute  // a block of the message
	finalLimit = 10 * time.Minute // the reply to the whole message
	quitLimit  = 5 * time.Second
)

// maxReplies is how much a host may say in one session. net/smtp has no limit.
const maxReplies = 1 << 20

// A session is an SMTP session with one MX host.
type session struct {
	host    string
	conn    net.Conn
	smtp    *smtp.Client
	log     func(format string, args ...any)
	release func() bool
}

// connect opens a session, until after EHLO. It ends with ctx at the latest.
func (s *Sender) connect(ctx context.Context, host string) (*session, error) {
	conn, err := s.dial(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	c := &session{host: host, conn: &boundedConn{conn, maxReplies}, log: s.Log}
	c.release = context.AfterFunc(ctx, func() { conn.Close() })
	c.limit(replyLimit)
	if c.smtp, err = smtp.NewClient(c.conn, host); err == nil {
		err = c.smtp.Hello(s.Helo)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	return c, nil
}

// limit gives the host d for the next step.
func (c *session) limit(d time.Duration) { c.conn.SetDeadline(time.Now().Add(d)) }

// close ends the session, if it has not ended. How the host takes that is of no
// interest: were a failed QUIT one of the delivery, a message that the host has taken
// would be delivered again.
func (c *session) close() {
	if c.smtp != nil {
		c.limit(quitLimit)
		c.smtp.Quit()
	}
	c.release()
	c.conn.Close()
}

// startTLS puts the session under TLS. If that fails, the session is of no more
// use, except after [mtasts.ErrNoSTARTTLS].
func (c *session) startTLS(cfg *tls.Config) error {
	if offered, _ := c.smtp.Extension("STARTTLS"); !offered {
		return mtasts.ErrNoSTARTTLS
	}
	c.limit(replyLimit)
	// The handshake takes place as StartTLS sends EHLO again, so that its error
	// comes from there.
	if err := c.smtp.StartTLS(cfg); err != nil {
		return err
	}
	state, _ := c.smtp.TLSConnectionState()
	judged := "any certificate will do"
	if len(state.VerifiedChains) > 0 {
		judged = "certificate verified"
	}
	c.log("%s: %s, %s", c.host, tls.VersionName(state.Version), judged)
	return nil
}

// send has the host take m. After an error it has not taken m, or it is an
// [ErrUnanswered].
func (c *session) send(m Message) error {
	c.limit(replyLimit)
	if err := c.smtp.Mail(m.From); err != nil {
		return c.refusal("MAIL", err)
	}
	c.limit(replyLimit)
	if err := c.smtp.Rcpt(m.To); err != nil {
		return c.refusal("RCPT", err)
	}
	c.limit(dataLimit)
	body, err := c.smtp.Data()
	if err != nil {
		return c.refusal("DATA", err)
	}
	for block := range slices.Chunk(m.Data, 32<<10) {
		c.limit(blockLimit)
		if _, err := body.Write(block); err != nil {
			c.conn.Close() // before anything, QUIT even, can end what would be half a message
			return c.refusal("message", err)
		}
	}
	c.limit(finalLimit)
	if err := body.Close(); err != nil {
		if _, answered := errors.AsType[*textproto.Error](err); !answered {
			err = fmt.Errorf("%w: %w", ErrUnanswered, err)
		}
		return c.refusal("message", err)
	}
	c.log("%s: has taken the message", c.host)
	return nil
}

// refusal says to which command the host gave err. A reply 5yz to a transaction
// is for good (RFC 5321, Section 4.2.1); before that, it is about the host, and
// another may take the message.
func (c *session) refusal(command string, err error) error {
	if reply, ok := errors.AsType[*textproto.Error](err); ok && reply.Code/100 == 5 {
		err = fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return fmt.Errorf("%s: %s: %w", c.host, command, err)
}

// A boundedConn fails once left octets have been read from it.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the host talks without end")
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}
