package mtaststest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// startTLS returns a TLS session before its handshake.
func startTLS(t *testing.T, conn net.Conn, cfg *tls.Config) *tls.Conn {
	t.Helper()
	if got := say(conn, "EHLO a", "STARTTLS"); len(got) != 3 || !strings.HasPrefix(got[2], "220 ") {
		t.Fatalf("replies are %q", got)
	}
	return tls.Client(conn, cfg)
}

var versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

// both runs test with pipes and sockets, and with both versions of TLS.
func both(t *testing.T, mx mtaststest.MX, test func(t *testing.T, version uint16, w *mtaststest.World, dial func() net.Conn)) {
	for _, version := range versions {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			onBoth(t, func(t *testing.T, w *mtaststest.World, dial func() net.Conn) {
				mx.MaxTLS = version
				w.AddMX(host, mx)
				test(t, version, w, dial)
			})
		})
	}
}

// The server has proved its identity, and then the connection ends.
func TestAConnectionCutAfterTheHandshake(t *testing.T) {
	both(t, mtaststest.MX{TLSReplies: mtaststest.Replies{"": mtaststest.HangUp}}, func(t *testing.T, _ uint16, w *mtaststest.World, dial func() net.Conn) {
		conn := startTLS(t, dial(), &tls.Config{RootCAs: w.Roots(), ServerName: host})
		if err := conn.Handshake(); err != nil {
			t.Fatalf("the handshake fails: %v", err)
		}
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("read %d octets, error %v", n, err)
		}
		if step, err := send(dial(), &tls.Config{RootCAs: w.Roots(), ServerName: host}); step != "STARTTLS" || err == nil {
			t.Errorf("%q failed: %v", step, err)
		}
	})
}

// A wiretap records what is read from a connection.
type wiretap struct {
	net.Conn
	read []byte
}

func (w *wiretap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.read = append(w.read, p[:n]...)
	return n, err
}

// lastRecord returns the type of the last TLS record that was read.
func (w *wiretap) lastRecord() (kind byte) {
	for rest := w.read; len(rest) >= 5; {
		kind = rest[0]
		rest = rest[min(len(rest), 5+int(rest[3])<<8+int(rest[4])):]
	}
	return kind
}

// TLS ends with a close_notify (RFC 5246, Section 7.2.1), but not after HangUp. In TLS 1.2 the
// type of a record is readable.
func TestOnlyACutIsWithoutCloseNotify(t *testing.T) {
	const alert = 21
	for reply, orderly := range map[string]bool{"221 bye": true, mtaststest.HangUp: false} {
		onBoth(t, func(t *testing.T, w *mtaststest.World, dial func() net.Conn) {
			w.AddMX(host, mtaststest.MX{MaxTLS: tls.VersionTLS12, TLSReplies: mtaststest.Replies{"QUIT": reply}})
			raw := dial()
			say(raw, "EHLO a", "STARTTLS")
			tap := &wiretap{Conn: raw}
			conn := tls.Client(tap, &tls.Config{RootCAs: w.Roots(), ServerName: host})
			io.WriteString(conn, "QUIT\r\n")
			if _, err := io.ReadAll(conn); err != nil {
				t.Fatal(err)
			}
			if kind := tap.lastRecord(); (kind == alert) != orderly {
				t.Errorf("%q ends with a record of type %d", reply, kind)
			}
		})
	}
}

// RFC 3207, Section 4.2: "The server MUST discard any knowledge obtained from the
// client". A transaction is such knowledge.
func TestATransactionEndsWithSTARTTLS(t *testing.T) {
	both(t, mtaststest.MX{}, func(t *testing.T, _ uint16, w *mtaststest.World, dial func() net.Conn) {
		raw := dial()
		say(raw, "MAIL FROM:<eve@sender.example>", "STARTTLS")
		conn := tls.Client(raw, &tls.Config{RootCAs: w.Roots(), ServerName: host})
		io.WriteString(conn, "RCPT TO:<b@example.com>\r\n")
		if got := say(conn); got[0] != "503 5.5.1 Need MAIL command" {
			t.Errorf("RCPT: %q", got)
		}
	})
}

// The client reads an unexpected reply as the reply to EHLO.
func TestAHostThatIsBusyAfterTheHandshake(t *testing.T) {
	both(t, mtaststest.MX{TLSReplies: mtaststest.Replies{"": "421 4.3.2 later"}}, func(t *testing.T, _ uint16, w *mtaststest.World, dial func() net.Conn) {
		step, err := send(dial(), &tls.Config{RootCAs: w.Roots(), ServerName: host})
		if told, ok := errors.AsType[*textproto.Error](err); step != "STARTTLS" || !ok || told.Code != 421 {
			t.Errorf("%q failed: %v", step, err)
		}
	})
}

func TestEHLOInsideTLSCanDiffer(t *testing.T) {
	both(t, mtaststest.MX{TLSReplies: mtaststest.Replies{"EHLO": "502 5.5.1 what"}}, func(t *testing.T, _ uint16, w *mtaststest.World, dial func() net.Conn) {
		step, err := send(dial(), &tls.Config{RootCAs: w.Roots(), ServerName: host})
		if told, ok := errors.AsType[*textproto.Error](err); step != "STARTTLS" || !ok || told.Code != 502 {
			t.Errorf("%q failed: %v", step, err)
		}
	})
}

// An impostor has the certificate, which is public, but not its key.
func TestAnImpostorDoesNotHaveTheKey(t *testing.T) {
	both(t, mtaststest.MX{Certificate: mtaststest.WrongKey}, func(t *testing.T, _ uint16, w *mtaststest.World, dial func() net.Conn) {
		conn := startTLS(t, dial(), &tls.Config{RootCAs: w.Roots(), ServerName: host})
		if err := conn.Handshake(); err == nil || !strings.Contains(err.Error(), "invalid signature by the server certificate") {
			t.Errorf("the handshake ends with %v", err)
		}
	})
	w := mtaststest.NewWorld()
	w.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, host))
	w.SetPolicyHost(domain, mtaststest.PolicyHost{Certificate: mtaststest.WrongKey})
	client := mtasts.New(new(cache.Memory), w.Options())
	defer client.Close()
	if p, err := client.PolicyFor(t.Context(), domain); err != nil || p.Mode != mtasts.ModeNone || p.Cause == nil ||
		!strings.Contains(p.Cause.Error(), "invalid signature by the server certificate") {
		t.Errorf("the policy of an impostor: %+v, %v", p, err)
	}
}

func TestAHostThatDemandsACertificate(t *testing.T) {
	both(t, mtaststest.MX{ClientCertificate: true}, func(t *testing.T, version uint16, w *mtaststest.World, dial func() net.Conn) {
		cfg := &tls.Config{RootCAs: w.Roots(), ServerName: host}
		conn := startTLS(t, dial(), cfg)
		err := conn.Handshake()
		if version == tls.VersionTLS13 {
			if err != nil {
				t.Fatalf("the handshake fails before the server has seen the client's answer: %v", err)
			}
			io.WriteString(conn, "EHLO a\r\n") // as a client that has not read yet
			_, err = conn.Read(make([]byte, 1))
		}
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "remote error" {
			t.Errorf("error is %#v, want the server's alert", err)
		}
		if step, err := send(dial(), cfg); step != "STARTTLS" || err == nil {
			t.Errorf("%q failed: %v", step, err)
		}

		cfg.Certificates = []tls.Certificate{testpki.Must(testpki.SelfSigned("sender.example"))}
		if step, err := send(dial(), cfg); err != nil {
			t.Errorf("with a certificate %q fails: %v", step, err)
		}
	})
}

// With each of these hosts the policy is enforced: none gets the mail.
func TestAPolicyIsEnforcedOnFaultyHosts(t *testing.T) {
	for name, test := range map[string]struct {
		mx   mtaststest.MX
		want mtasts.Result
	}{
		"502 to STARTTLS": {mtaststest.MX{Replies: mtaststest.Replies{"STARTTLS": "502 5.5.1 no\n"}}, mtasts.ResultSTARTTLSNotSupported},
		"554 to STARTTLS": {mtaststest.MX{Replies: mtaststest.Replies{"STARTTLS": "554-5.7.1 no\n554 5.7.1 never"}}, mtasts.ResultSTARTTLSNotSupported},
		"impostor":        {mtaststest.MX{Certificate: mtaststest.WrongKey}, mtasts.ResultCertificateNotTrusted},
		"TLS cut":         {mtaststest.MX{TLSReplies: mtaststest.Replies{"": mtaststest.HangUp}}, mtasts.ResultValidationFailure},
		"certificate":     {mtaststest.MX{ClientCertificate: true}, mtasts.ResultValidationFailure},
		"connection cut":  {mtaststest.MX{Replies: mtaststest.Replies{"STARTTLS": mtaststest.HangUp}}, mtasts.ResultValidationFailure},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, w *mtaststest.World, dial func() net.Conn) {
				w.AddMX(host, test.mx)
				w.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, host))
				client := mtasts.New(new(cache.Memory), w.Options())
				defer client.Close()
				policy, err := client.PolicyFor(context.Background(), domain)
				if err != nil {
					t.Fatal(err)
				}
				h, err := policy.CheckMX(host)
				if err != nil {
					t.Fatal(err)
				}
				step, err := send(dial(), h.TLSConfig(&tls.Config{RootCAs: w.Roots()}))
				if step != "STARTTLS" {
					t.Fatalf("%q failed: %v", step, err)
				}
				held, ok := errors.AsType[*mtasts.Error](h.AllowFallback(err))
				if !ok || held.Result != test.want {
					t.Errorf("AllowFallback(%v) = %v, want result %q", err, held, test.want)
				}
				if mail := w.Mail(host); len(mail) != 0 {
					t.Errorf("the host has %d messages", len(mail))
				}
			})
		})
	}
}
