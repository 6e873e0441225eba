// Package unittest shows how to test the outbound side of a mail server with MTA-STS, without
// sockets and without waiting:
//
//	go test -v ./examples/unittest
//
// outbound.go is the mail server, reduced to the delivery of a message. Its fields are all that
// it needs of the outside: outbound_test.go sets them to those of a
// [github.com/mtasts/go-mtasts/mtasts/mtaststest.World]. (examples/send also handles several
// addresses, time limits and duplicates, as a real mail server must.)
package unittest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/starttls"
	"github.com/mtasts/go-mtasts/mtasts"
)

// Outbound delivers messages to other mail servers.
type Outbound struct {
	Policies *mtasts.Client
	LookupMX func(ctx context.Context, domain string) ([]*net.MX, error)
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	TLS      *tls.Config // base for each session
}

// A Rejection is a host's 5xx reply to MAIL, RCPT, DATA or the message. After any other reply,
// another host may accept the message.
type Rejection struct{ Err error }

func (r *Rejection) Error() string { return "rejected: " + r.Err.Error() }

var errNoHosts = errors.New("the domain has no MX host")

// Deliver delivers a message to the first MX host that the policy allows and that accepts it.
// After a [*Rejection] the message bounces. After any other error it stays in the queue.
func (o *Outbound) Deliver(ctx context.Context, from, to string, message []byte) error {
	domain := to[strings.LastIndexByte(to, '@')+1:]
	policy, err := o.Policies.PolicyFor(ctx, domain)
	if err != nil {
		return err
	}
	hosts, err := o.LookupMX(ctx, domain)
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		return errNoHosts
	}
	var failures []error
	for _, mx := range hosts {
		host, err := policy.CheckMX(mx.Host)
		if err == nil {
			err = o.session(ctx, host, true, from, to, message)
		}
		if _, rejected := errors.AsType[*Rejection](err); rejected || err == nil {
			return err
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// session delivers to one host: with TLS or, if TLS fails and the policy allows it, without.
func (o *Outbound) session(ctx context.Context, host *mtasts.Host, secure bool, from, to string, message []byte) error {
	conn, err := o.Dial(ctx, "tcp", net.JoinHostPort(host.Name, "25"))
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Minute))
	c, err := smtp.NewClient(conn, host.Name)
	if err != nil {
		return err
	}
	if !secure {
		return transact(c, from, to, message)
	}
	offered, err := starttls.Offered(c, "localhost")
	if err != nil {
		return err
	}
	cause, refusal := mtasts.ErrNoSTARTTLS, error(nil)
	if offered {
		cause, refusal = starttls.Start(c, host.TLSConfig(o.TLS))
	}
	if cause == nil {
		state, _ := c.TLSConnectionState()
		if err := host.Verify(state); err != nil {
			return err
		}
		if refusal != nil {
			return refusal
		}
		return transact(c, from, to, message)
	}
	if err := host.AllowFallback(cause); err != nil {
		return err
	}
	conn.Close()
	return o.session(ctx, host, false, from, to, message)
}

// transact sends the message in a session.
func transact(c *smtp.Client, from, to string, message []byte) error {
	err := c.Mail(from)
	if err == nil {
		err = c.Rcpt(to)
	}
	if err == nil {
		err = data(c, message)
	}
	reply, answered := errors.AsType[*textproto.Error](err)
	if !answered || reply.Code/100 != 5 {
		return err
	}
	if _, inTLS := c.TLSConnectionState(); !inTLS && reply.Code == 530 {
		return err // RFC 3207, Section 4: this host requires STARTTLS, another may not
	}
	return &Rejection{err}
}

func data(c *smtp.Client, message []byte) error {
	body, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write(message); err != nil {
		return err
	}
	return body.Close()
}
