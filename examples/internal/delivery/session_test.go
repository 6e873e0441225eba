package delivery_test

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

type replies = map[string]string

// The first reply that differs from the usual ones decides which hosts get the message.
func TestAnswers(t *testing.T) {
	const delivered, rejected, unanswered, second = "delivered", "rejected", "unanswered", "to the second host"
	for _, test := range []struct {
		name    string
		replies replies
		want    string
	}{
		{"accepts it", nil, delivered},
		{"hangs up at QUIT", replies{"QUIT": hangUp}, delivered},
		{"supports HELO only", replies{"EHLO": "502 what?"}, delivered},
		{"refuses the client", replies{"": "554 no"}, second},
		{"is busy", replies{"": "421 later"}, second},
		{"hangs up at once", replies{"": hangUp}, second},
		{"refuses EHLO and HELO", replies{"EHLO": "550 no", "HELO": "550 no"}, second},
		{"refuses the sender for now", replies{"MAIL": "451 later"}, second},
		{"refuses the sender", replies{"MAIL": "550 no"}, rejected},
		{"requires STARTTLS", replies{"MAIL": "530 5.7.0 Must issue a STARTTLS command first"}, second},
		{"requires STARTTLS at RCPT", replies{"RCPT": "530 5.7.0 Must issue a STARTTLS command first"}, second},
		{"refuses the recipient for now", replies{"RCPT": "450 later"}, second},
		{"refuses the recipient", replies{"RCPT": "550 no such user"}, rejected},
		{"hangs up on the recipient", replies{"RCPT": hangUp}, second},
		{"refuses DATA", replies{"DATA": "554 no"}, rejected},
		{"refuses the message for now", replies{".": "452 full"}, second},
		{"refuses the message", replies{".": "554 spam"}, rejected},
		{"hangs up on the message", replies{".": hangUp}, unanswered},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.twoHosts()
			first := r.scripted(mx1, test.replies)
			r.friendly(mx2, mtaststest.MX{})
			got := delivered
			switch err := r.deliver(); {
			case isRejected(err):
				got = rejected
			case errors.Is(err, delivery.ErrUnanswered):
				got = unanswered
			case err != nil:
				t.Fatalf("Deliver: %v", err)
			case len(r.Mail(mx2)) > 0:
				got = second
			}
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if got == second {
				r.wantMail(mx2 + " in TLS 1.3")
			} else {
				r.wantMail()
			}
			if got == delivered && first.messages.Load() != 1 {
				t.Errorf("the first host has %d copies of the message, want 1", first.messages.Load())
			}
			if got := first.sessions.Load(); got != 1 {
				t.Errorf("%d sessions with the first host, want 1", got)
			}
		})
	}
}

// RFC 5321, Section 2.4: EHLO keywords are case-insensitive.
func TestSTARTTLSInAnyCase(t *testing.T) {
	for _, answer := range []string{
		"250-mx\r\n250 starttls",
		"250-mx\r\n250-size 1000\r\n250-StartTLS\r\n250 8bitmime",
		"250-mx\r\n250 starttls ",
	} {
		r := newRig(t)
		r.publish(mtasts.ModeEnforce, "1", mx1)
		host := r.secured(mx1, replies{"EHLO": answer}, nil)
		if err := r.deliver(); err != nil || host.messages.Load() != 1 {
			t.Errorf("%q: %v", answer, err)
		}
		r.wantResults("")
	}
	for _, answer := range []string{"250 starttls", "250-starttls\r\n250 starttlss", "250-mx\r\n250 X-STARTTLS"} {
		r := newRig(t)
		r.publish(mtasts.ModeEnforce, "1", mx1)
		r.secured(mx1, replies{"EHLO": answer}, nil)
		r.wantHeld(r.deliver(), mtasts.ResultSTARTTLSNotSupported)
	}
}

// A reply to STARTTLS is never a rejection of the message. The policy defers the message or
// allows clear text.
func TestRefusalOfSTARTTLS(t *testing.T) {
	for _, reply := range []string{"454 later", "554 no", "502 what?", "421 bye", "no reply"} {
		for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting} {
			t.Run(string(mode)+" "+reply, func(t *testing.T) {
				r := newRig(t)
				r.publish(mode, "1", mx1)
				host := r.secured(mx1, replies{"STARTTLS": reply}, nil)
				err := r.deliver()
				if mode == mtasts.ModeEnforce {
					r.wantHeld(err, mtasts.ResultSTARTTLSNotSupported)
				} else if err != nil || host.messages.Load() != 1 {
					t.Errorf("Deliver: %v, want the message in clear text", err)
				}
				r.wantResults(mtasts.ResultSTARTTLSNotSupported)
			})
		}
	}
}

// STARTTLS fails at a host that requires it.
func TestDemandForSTARTTLSAfterFallback(t *testing.T) {
	demand := replies{"STARTTLS": "454 later", "MAIL": "530 5.7.0 Must issue a STARTTLS command first"}
	t.Run("another host", func(t *testing.T) {
		r := newRig(t)
		r.twoHosts()
		r.publish(mtasts.ModeTesting, "1", mx1, mx2)
		r.secured(mx1, demand, nil)
		r.friendly(mx2, mtaststest.MX{})
		if err := r.deliver(); err != nil {
			t.Fatal(err)
		}
		r.wantMail(mx2 + " in TLS 1.3")
		r.wantResults(mtasts.ResultSTARTTLSNotSupported, "")
	})
	t.Run("no other host", func(t *testing.T) {
		r := newRig(t)
		r.secured(mx1, demand, nil)
		r.wantDeferred(r.deliver())
	})
	t.Run("inside TLS it is a rejection", func(t *testing.T) {
		r := newRig(t)
		r.secured(mx1, nil, replies{"MAIL": "530 5.7.0 Authentication required"})
		if err := r.deliver(); !isRejected(err) {
			t.Errorf("Deliver: %v, want a rejection", err)
		}
	})
}

// A negative reply to EHLO inside TLS is not a failure of TLS, so it is no reason for clear
// text.
func TestRefusalOfEHLOInsideTLS(t *testing.T) {
	for _, reply := range []string{"502 what?", "421 bye", "554 no", "no reply"} {
		for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting, mtasts.ModeNone} {
			t.Run(string(mode)+" "+reply, func(t *testing.T) {
				r := newRig(t)
				r.twoHosts()
				r.publish(mode, "1", mx1, mx2)
				first := r.secured(mx1, nil, replies{"EHLO": reply})
				r.friendly(mx2, mtaststest.MX{})
				if err := r.deliver(); err != nil {
					t.Fatal(err)
				}
				r.wantMail(mx2 + " in TLS 1.3")
				if sessions, messages := first.sessions.Load(), first.messages.Load(); sessions != 1 || messages != 0 {
					t.Errorf("the first host has seen %d sessions and %d messages, want 1 and none", sessions, messages)
				}
				if mode == mtasts.ModeNone {
					r.wantResults()
				} else {
					r.wantResults("", "")
				}
			})
		}
	}
}

// If a session ends before the first reply inside TLS, TLS has failed: in TLS 1.3 a server can
// refuse a client only then.
func TestEndInsideTLS(t *testing.T) {
	for name, change := range map[string]func(*script){
		"hangs up": func(s *script) { s.inTLS = replies{"EHLO": hangUp} },
		"alert":    func(s *script) { s.tls.ClientAuth = tls.RequireAnyClientCert },
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting} {
				t.Run(name, func(t *testing.T) {
					r := newRig(t)
					r.publish(mode, "1", mx1)
					host := r.secured(mx1, nil, nil)
					host.tls.MaxVersion = version
					change(host)
					err := r.deliver()
					if mode == mtasts.ModeEnforce {
						r.wantHeld(err, mtasts.ResultValidationFailure)
					} else if err != nil || host.messages.Load() != 1 {
						t.Errorf("Deliver: %v, want the message in clear text", err)
					}
					r.wantResults(mtasts.ResultValidationFailure)
				})
			}
		}
	}
}

func TestEndlessGreetingIsAborted(t *testing.T) {
	r := newRig(t)
	r.twoHosts()
	r.serve(mx1, endless)
	r.friendly(mx2, mtaststest.MX{})
	if err := r.deliver(); err != nil {
		t.Fatal(err)
	}
	r.wantMail(mx2 + " in TLS 1.3")
}

// A reply that comes too late, or is none, is never counted as the reply to the next command: it
// would reject the wrong recipient.
func TestRepliesOutOfStep(t *testing.T) {
	for _, reply := range []string{"what?\r\n550 no such user", "354 what?\r\n550 no such user"} {
		r := newRig(t)
		host := r.secured(mx1, nil, replies{"RCPT TO:<b@" + domain + ">": reply})
		m := message()
		m.To = append(m.To, "c@"+domain)
		errs := r.sender.Deliver(t.Context(), m).Errors
		for to, err := range errs {
			if err == nil || isRejected(err) {
				t.Errorf("%q: %s: %v, want a deferral", reply, to, err)
			}
		}
		if host.messages.Load() > 0 {
			t.Errorf("%q: the host has the message", reply)
		}
	}
}
