package unittest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

const (
	year = 365 * 24 * time.Hour

	good     = "mx.example.com"      // the MX host of example.com
	attacker = "mx.attacker.example" // another host, with a valid certificate for its name
)

// A server is an Outbound and its World.
type server struct {
	*mtaststest.World
	t        *testing.T
	store    mtasts.Store // outlives a restart
	outbound *Outbound
}

// inWorld runs test in a testing/synctest bubble, where time is simulated. example.com has one
// MX host.
func inWorld(t *testing.T, test func(s *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		world := mtaststest.NewWorld()
		world.DNS.Set("example.com", resolver.Records{MX: []net.MX{{Host: good}}})
		world.AddMX(good, mtaststest.MX{})
		world.AddMX(attacker, mtaststest.MX{})
		s := &server{World: world, t: t, store: new(cache.Memory)}
		s.outbound = &Outbound{
			Policies: mtasts.New(s.store, world.Options()),
			LookupMX: world.DNS.LookupMX,
			Dial:     world.Dial,
			TLS:      &tls.Config{RootCAs: world.Roots(), InsecureSkipVerify: true},
		}
		test(s)
		s.outbound.Policies.Close()
	})
}

// publish publishes a policy for example.com that is valid for a year.
func (s *server) publish(mode mtasts.Mode) {
	s.Publish("example.com", "1", mtaststest.Policy(mode, year, good))
}

// forgeMX is an attack by DNS.
func (s *server) forgeMX() {
	s.DNS.Set("example.com", resolver.Records{MX: []net.MX{{Host: attacker}}})
}

// blockPolicy makes DNS and policy host fail.
func (s *server) blockPolicy() {
	s.DNS.Set("_mta-sts.example.com", resolver.Records{Fail: resolver.ServFail})
	s.SetPolicyHost("example.com", mtaststest.PolicyHost{Unreachable: true})
}

// restart replaces the client, as a new process does.
func (s *server) restart() {
	s.outbound.Policies.Close()
	s.outbound.Policies = mtasts.New(s.store, s.Options())
}

func (s *server) deliver() error {
	return s.outbound.Deliver(s.t.Context(), "a@sender.example", "b@example.com", []byte("Subject: test\n\nHello.\n"))
}

// mustArrive delivers a message and asserts that it is in the mailbox of host.
func (s *server) mustArrive(host string, overTLS bool) {
	s.t.Helper()
	before := len(s.Mail(host))
	if err := s.deliver(); err != nil {
		s.t.Fatal(err)
	}
	mail := s.Mail(host)[before:]
	if len(mail) != 1 || (mail[0].TLS != nil) != overTLS {
		s.t.Fatalf("%s has %d new messages, want one; over TLS: %t", host, len(mail), overTLS)
	}
}

// mustBeDeferred asserts that the policy defers a message and that no mailbox has it.
func (s *server) mustBeDeferred(result mtasts.Result) {
	s.t.Helper()
	before := len(s.Mail(good)) + len(s.Mail(attacker))
	err := s.deliver()
	if held, ok := errors.AsType[*mtasts.Error](err); !ok || held.Result != result {
		s.t.Fatalf("Deliver: %v, want an *mtasts.Error with the result %q", err, result)
	}
	if after := len(s.Mail(good)) + len(s.Mail(attacker)); after > before {
		s.t.Fatal("the message is in a mailbox")
	}
}

func TestEnforced(t *testing.T) {
	inWorld(t, func(s *server) {
		s.publish(mtasts.ModeEnforce)
		s.mustArrive(good, true)
	})
}

func TestAttacksAreDeferred(t *testing.T) {
	for _, attack := range []struct {
		name  string
		begin func(s *server)
		want  mtasts.Result
	}{
		{"STARTTLS stripped", func(s *server) { s.AddMX(good, mtaststest.MX{NoSTARTTLS: true}) }, mtasts.ResultSTARTTLSNotSupported},
		{"STARTTLS refused", func(s *server) { s.AddMX(good, mtaststest.MX{RefuseSTARTTLS: true}) }, mtasts.ResultSTARTTLSNotSupported},
		{"certificate of another", func(s *server) { s.AddMX(good, mtaststest.MX{Certificate: mtaststest.WrongName}) }, mtasts.ResultCertificateHostMismatch},
		{"certificate self-signed", func(s *server) { s.AddMX(good, mtaststest.MX{Certificate: mtaststest.SelfSigned}) }, mtasts.ResultCertificateNotTrusted},
		{"MX forged", (*server).forgeMX, mtasts.ResultValidationFailure},
		{"MX forged, policy blocked", func(s *server) { s.forgeMX(); s.blockPolicy() }, mtasts.ResultValidationFailure},
	} {
		t.Run(attack.name, func(t *testing.T) {
			inWorld(t, func(s *server) {
				s.publish(mtasts.ModeEnforce)
				s.mustArrive(good, true)
				attack.begin(s)
				s.mustBeDeferred(attack.want)
			})
		})
	}
}

// RFC 5321, Section 2.4: EHLO keywords may come in any case.
func TestSTARTTLSInLowerCase(t *testing.T) {
	inWorld(t, func(s *server) {
		s.publish(mtasts.ModeEnforce)
		s.outbound.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := s.Dial(ctx, network, address)
			return &lowerCase{conn}, err
		}
		s.mustArrive(good, true)
	})
}

type lowerCase struct{ net.Conn }

func (c *lowerCase) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	copy(b, bytes.ReplaceAll(b[:n], []byte("250 STARTTLS"), []byte("250 starttls")))
	return n, err
}

// Only a 5xx reply to the transaction is a rejection of the message.
func TestWhatIsARejection(t *testing.T) {
	for _, test := range []struct {
		replies []string // greeting, then to EHLO, EHLO again, MAIL, RCPT
		want    bool
	}{
		{[]string{"554 no"}, false},
		{[]string{"220 hello", "550 no", "550 no"}, false}, // the client then tries HELO
		{[]string{"220 hello", "250 hello", "250 hello", "530 Must issue a STARTTLS command first"}, false},
		{[]string{"220 hello", "250 hello", "250 hello", "550 no"}, true},
		{[]string{"220 hello", "250 hello", "250 hello", "250 ok", "450 later"}, false},
		{[]string{"220 hello", "250 hello", "250 hello", "250 ok", "550 no such user"}, true},
	} {
		inWorld(t, func(s *server) {
			s.outbound.Dial = func(context.Context, string, string) (net.Conn, error) {
				client, host := net.Pipe()
				go func() {
					defer host.Close()
					in := bufio.NewReader(host)
					for _, reply := range test.replies {
						io.WriteString(host, reply+"\r\n")
						in.ReadString('\n')
					}
				}()
				return client, nil
			}
			err := s.deliver()
			if _, rejected := errors.AsType[*Rejection](err); err == nil || rejected != test.want {
				t.Errorf("%q: %v, want a rejection: %t", test.replies, err, test.want)
			}
		})
	}
}

// Under mode testing each message arrives, and failures are reported.
func TestTestingModeReports(t *testing.T) {
	inWorld(t, func(s *server) {
		s.publish(mtasts.ModeTesting)
		s.AddMX(good, mtaststest.MX{Certificate: mtaststest.Expired})
		s.mustArrive(good, true)
		s.AddMX(good, mtaststest.MX{NoSTARTTLS: true})
		s.mustArrive(good, false)

		events := s.Events()
		if len(events) != 2 || events[0].Result != mtasts.ResultCertificateExpired || events[1].Result != mtasts.ResultSTARTTLSNotSupported {
			t.Errorf("reported: %+v, want an expired certificate, then no STARTTLS", events)
		}
	})
}

func TestPolicySurvivesRestart(t *testing.T) {
	inWorld(t, func(s *server) {
		s.publish(mtasts.ModeEnforce)
		s.mustArrive(good, true)
		s.restart()
		s.blockPolicy()
		s.mustArrive(good, true)
		s.forgeMX()
		s.mustBeDeferred(mtasts.ResultValidationFailure)
	})
}

// A policy that cannot be refreshed applies for a year, and no longer.
func TestPolicyExpiresAfterAYear(t *testing.T) {
	inWorld(t, func(s *server) {
		s.publish(mtasts.ModeEnforce)
		s.mustArrive(good, true)
		s.blockPolicy()
		s.forgeMX()

		time.Sleep(year - time.Minute) // takes no time, in the bubble
		s.mustBeDeferred(mtasts.ResultValidationFailure)

		time.Sleep(2 * time.Minute)
		s.mustArrive(attacker, true)
	})
}
