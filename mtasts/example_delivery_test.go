package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// deliver hands a message for domain, whose MX hosts are mxs, to the first that takes it.
// A rejection is final. Any other error means: try again later.
func deliver(ctx context.Context, sts *mtasts.Client, domain string, mxs []string, msg message) error {
	policy, err := sts.PolicyFor(ctx, domain)
	if err != nil {
		return err // not known
	}
	last := errors.New("no MX host")
	for _, mx := range mxs { // in MX order, never filtered beforehand
		host, err := policy.CheckMX(mx)
		if err == nil {
			err = attempt(ctx, host, mx, msg)
		}
		if _, final := errors.AsType[rejection](err); err == nil || final {
			return err
		}
		last = err
	}
	return last
}

// attempt tries one MX host, with TLS and then, if the policy does not forbid it, without.
func attempt(ctx context.Context, host *mtasts.Host, mx string, msg message) error {
	err := session(ctx, host, mx, msg, true)
	noTLS, ok := errors.AsType[tlsFailure](err)
	if !ok {
		return err
	}
	if err := host.AllowFallback(noTLS.error); err != nil {
		return err // a violation: on to the next MX host
	}
	return session(ctx, host, mx, msg, false)
}

func session(ctx context.Context, host *mtasts.Host, mx string, msg message, startTLS bool) error {
	conn, err := msg.dial(ctx, "tcp", net.JoinHostPort(mx, "25"))
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	c, err := smtp.NewClient(conn, mx)
	if err != nil {
		conn.Close()
		return err
	}
	defer c.Close()
	if err := c.Hello("relay.example"); err != nil {
		return err
	}
	if startTLS {
		if err := secure(c, host); err != nil {
			return err
		}
	}
	if err := c.Mail(msg.from); err != nil {
		return refusal(err, startTLS)
	}
	if err := c.Rcpt(msg.to); err != nil {
		return refusal(err, startTLS)
	}
	w, err := c.Data()
	if err != nil {
		return refusal(err, startTLS)
	}
	if _, err := w.Write(msg.data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return refusal(err, startTLS)
	}
	c.Quit()
	return nil
}

// secure sets up TLS. It asks for STARTTLS even if EHLO did not list it: net/smtp finds
// the keyword in capitals only.
func secure(c *smtp.Client, host *mtasts.Host) error {
	err := c.StartTLS(host.TLSConfig(nil)) // and EHLO inside TLS
	reply, isReply := errors.AsType[*textproto.Error](err)
	state, inTLS := c.TLSConnectionState()
	switch {
	case !inTLS && isReply:
		return tlsFailure{fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, reply)}
	case err == nil || isReply: // the host has said something inside TLS, if only no to EHLO
		return errors.Join(host.Verify(state), err)
	}
	return tlsFailure{err}
}

// refusal is a rejection if err is a 5xx reply to MAIL, RCPT or DATA. In clear text, 530
// is not about the message: the host wants TLS, which could not be had.
func refusal(err error, inTLS bool) error {
	reply, ok := errors.AsType[*textproto.Error](err)
	if ok && reply.Code/100 == 5 && (inTLS || reply.Code != 530) {
		return rejection{err}
	}
	return err
}

type (
	rejection  struct{ error } // of the message: return it to its sender
	tlsFailure struct{ error } // before the first command that is about the message
)

type message struct {
	from, to string
	data     []byte
	dial     func(ctx context.Context, network, address string) (net.Conn, error) // (&net.Dialer{}).DialContext
}

// The delivery loop of a mail server that has looked up the MX hosts of the recipient's
// domain, on net/smtp and complete. Here it is at work in a small Internet in memory.
func Example_delivery() {
	world := mtaststest.NewWorld()
	world.Publish("example.com", "1", mtaststest.Policy(mtasts.ModeEnforce, 24*time.Hour, "mx1.example.com", "mx2.example.com"))
	world.AddMX("mx1.example.com", mtaststest.MX{NoSTARTTLS: true})
	world.AddMX("mx2.example.com", mtaststest.MX{Replies: mtaststest.Replies{"STARTTLS": "554 5.7.0 no"}})

	sts := mtasts.New(new(cache.Memory), world.Options())
	defer sts.Close()
	fmt.Println(deliver(context.Background(), sts, "example.com",
		[]string{"mx.attacker.example", "mx1.example.com", "mx2.example.com"},
		message{"a@example.org", "b@example.com", []byte("Subject: hello\r\n\r\nHello.\r\n"), world.Dial}))
	// Output:
	// mtasts: example.com: mx2.example.com: starttls-not-supported: no STARTTLS: 554 "5.7.0 no"
}
