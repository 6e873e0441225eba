package delivery_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

func TestDeliversOverVerifiedTLS(t *testing.T) {
	r := newRig(t)
	r.publish(mtasts.ModeEnforce, "1", mx1)
	r.friendly(mx1, mtaststest.MX{})
	if err := r.deliver(); err != nil {
		t.Fatal(err)
	}
	r.wantMail(mx1 + " in TLS 1.3")
	r.wantResults("")
	if want := mx1 + ": TLS 1.3 under mode enforce"; !slices.Contains(r.log, want) {
		t.Errorf("the log is %q, want a line %q", r.log, want)
	}

	mail := r.Mail(mx1)[0]
	if want := strings.ReplaceAll(text, "\r\n", "\n"); mail.Data != want {
		t.Errorf("the message arrived as %q, want %q", mail.Data, want)
	}
	if e := r.Events()[0]; !e.Local.IsLoopback() || !e.Remote.IsLoopback() {
		t.Errorf("reported from %v to %v, want addresses", e.Local, e.Remote)
	}
	if mail.From != "a@sender.example" || !slices.Equal(mail.To, []string{"b@" + domain}) {
		t.Errorf("the envelope arrived as %q to %q", mail.From, mail.To)
	}
}

// The policy mode decides what happens to the message after a failure of TLS.
func TestTLSFailure(t *testing.T) {
	for _, fault := range []struct {
		name     string
		mx       mtaststest.MX
		result   mtasts.Result // is reported where a policy applies
		weak     string        // how the message arrives in mode testing and without a policy
		sessions int32         // including the one in clear text
	}{
		{"STARTTLS not offered", mtaststest.MX{NoSTARTTLS: true}, mtasts.ResultSTARTTLSNotSupported, " in clear text", 1},
		{"STARTTLS refused", mtaststest.MX{RefuseSTARTTLS: true}, mtasts.ResultSTARTTLSNotSupported, " in clear text", 2},
		{"no common version", mtaststest.MX{MaxTLS: tls.VersionTLS11}, mtasts.ResultValidationFailure, " in clear text", 2},
		{"wrong name", mtaststest.MX{Certificate: mtaststest.WrongName}, mtasts.ResultCertificateHostMismatch, " in TLS 1.3", 1},
		{"expired", mtaststest.MX{Certificate: mtaststest.Expired}, mtasts.ResultCertificateExpired, " in TLS 1.3", 1},
		{"unknown root", mtaststest.MX{Certificate: mtaststest.UnknownRoot}, mtasts.ResultCertificateNotTrusted, " in TLS 1.3", 1},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Run("enforce", func(t *testing.T) {
				r := newRig(t)
				r.publish(mtasts.ModeEnforce, "1", mx1)
				r.friendly(mx1, fault.mx)
				r.wantHeld(r.deliver(), fault.result)
				r.wantMail()
				r.wantResults(fault.result)
			})
			for _, mode := range []mtasts.Mode{mtasts.ModeTesting, mtasts.ModeNone} {
				t.Run(string(mode), func(t *testing.T) {
					r := newRig(t)
					r.publish(mode, "1", mx1)
					r.friendly(mx1, fault.mx)
					if err := r.deliver(); err != nil {
						t.Fatal(err)
					}
					r.wantMail(mx1 + fault.weak)
					if got := r.sessions[mx1].Load(); got != fault.sessions {
						t.Errorf("%d sessions, want %d", got, fault.sessions)
					}
					if mode == mtasts.ModeTesting {
						r.wantResults(fault.result)
					} else {
						r.wantResults()
					}
				})
			}
		})
	}
}

// RFC 8689: the header field "TLS-Required: No" overrides a policy.
func TestTLSOptional(t *testing.T) {
	r := newRig(t)
	r.publish(mtasts.ModeEnforce, "1", mx2)
	r.friendly(mx1, mtaststest.MX{NoSTARTTLS: true})
	m := message()
	m.TLSOptional = true
	if err := r.sender.Deliver(t.Context(), m).Err(); err != nil {
		t.Fatal(err)
	}
	r.wantMail(mx1 + " in clear text")
	if e := r.Events(); len(e) > 0 {
		t.Errorf("%d events, want none", len(e))
	}
}

func TestSecondHostIsUsedWhenFirstIsNotListed(t *testing.T) {
	r := newRig(t)
	r.twoHosts()
	r.publish(mtasts.ModeEnforce, "1", mx2)
	r.friendly(mx1, mtaststest.MX{})
	r.friendly(mx2, mtaststest.MX{})
	if err := r.deliver(); err != nil {
		t.Fatal(err)
	}
	r.wantMail(mx2 + " in TLS 1.3")
	if got := r.sessions[mx1].Load(); got != 0 {
		t.Errorf("%d sessions with a host that is not in the policy, want none", got)
	}
}

// A publisher has moved to another MX host. The cached policy does not list it. The check at the
// end finds the newer policy.
func TestChecksForNewerPolicyBeforeItFails(t *testing.T) {
	r := newRig(t)
	r.publish(mtasts.ModeEnforce, "1", "old."+domain)
	r.friendly(mx1, mtaststest.MX{})
	r.wantHeld(r.deliver(), mtasts.ResultValidationFailure)

	r.publish(mtasts.ModeEnforce, "2", mx1)
	if err := r.deliver(); err != nil {
		t.Fatal(err)
	}
	r.wantMail(mx1 + " in TLS 1.3")
	r.wantResults(mtasts.ResultValidationFailure, mtasts.ResultValidationFailure, "")
}

// The publisher has moved. It has changed the file, but not the id.
func TestNewerPolicyUnderTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.publish(mtasts.ModeEnforce, "1", "old."+domain)
		r.AddMX(mx1, mtaststest.MX{})
		r.sessions[mx1] = nil
		r.DNS.Set(mx1, resolver.Records{Addr: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
		r.sender.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return r.World.Dial(ctx, network, mx1+":25") // a pipe, since a synctest bubble has no sockets
		}
		r.wantHeld(r.deliver(), mtasts.ResultValidationFailure)

		time.Sleep(6 * time.Minute)
		r.publish(mtasts.ModeEnforce, "1", mx1)
		if err := r.deliver(); err != nil {
			t.Fatal(err)
		}
		r.wantMail(mx1 + " in TLS 1.3")
	})
}

// A cancelled delivery is no failure of a host: it reports nothing and sends nothing in clear
// text.
func TestEndOfContext(t *testing.T) {
	r := newRig(t)
	r.publish(mtasts.ModeEnforce, "1", mx1)
	ctx, cancel := context.WithCancel(t.Context())
	r.serve(mx1, func(conn net.Conn) {
		defer conn.Close()
		fmt.Fprint(conn, "220 ready\r\n250-mx1\r\n250 STARTTLS\r\n220 go on\r\n")
		in := bufio.NewReader(conn)
		for range 2 { // EHLO, STARTTLS
			in.ReadString('\n')
		}
		in.ReadByte() // the handshake has begun
		cancel()
		in.WriteTo(io.Discard) // until the client hangs up
	})
	err := r.sender.Deliver(ctx, message()).Err()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Deliver: %v, want %v", err, context.Canceled)
	}
	r.wantResults()
}
