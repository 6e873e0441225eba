package mtasts_test

import (
	"crypto/tls"
	"errors"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// faults are MX hosts that fail validation, with their result of RFC 8460, Section 4.3.
var faults = map[string]struct {
	mx     mtaststest.MX
	result mtasts.Result
	reason string
}{
	"no STARTTLS":     {mtaststest.MX{NoSTARTTLS: true}, mtasts.ResultSTARTTLSNotSupported, "starttls-not-offered"},
	"454":             {mtaststest.MX{RefuseSTARTTLS: true}, mtasts.ResultSTARTTLSNotSupported, "smtp-454"},
	"expired":         {mtaststest.MX{Certificate: mtaststest.Expired}, mtasts.ResultCertificateExpired, ""},
	"not yet valid":   {mtaststest.MX{Certificate: mtaststest.NotYetValid}, mtasts.ResultCertificateNotTrusted, "certificate-not-yet-valid"},
	"another's name":  {mtaststest.MX{Certificate: mtaststest.WrongName}, mtasts.ResultCertificateHostMismatch, ""},
	"unknown root":    {mtaststest.MX{Certificate: mtaststest.UnknownRoot}, mtasts.ResultCertificateNotTrusted, "unknown-authority"},
	"self-signed":     {mtaststest.MX{Certificate: mtaststest.SelfSigned}, mtasts.ResultCertificateNotTrusted, "self-signed"},
	"common name":     {mtaststest.MX{Certificate: mtaststest.CommonName}, mtasts.ResultCertificateHostMismatch, "no-dns-id"},
	"TLS 1.1 at most": {mtaststest.MX{MaxTLS: tls.VersionTLS11}, mtasts.ResultValidationFailure, "tls-alert-70"},
}

// attempt publishes a policy, sets up an MX host like mx, and delivers once.
func (e *env) attempt(mode mtasts.Mode, mx mtaststest.MX, base *tls.Config) error {
	e.t.Helper()
	e.Publish(domain, "1", mtaststest.Policy(mode, week, "mx.example.com"))
	e.AddMX("mx.example.com", mx)
	return e.deliver(e.policy(), "mx.example.com", base)
}

func TestRFC8461_5_EnforceDeliversToNoHostThatFails(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				err := e.attempt(mtasts.ModeEnforce, fault.mx, e.opportunistic())
				failure, ok := errors.AsType[*mtasts.Error](err)
				if !ok {
					t.Fatalf("error is %v, want an *Error", err)
				}
				if failure.Result != fault.result || failure.Reason != fault.reason {
					t.Errorf("result %q, reason %q; want %q, %q (%v)", failure.Result, failure.Reason, fault.result, fault.reason, err)
				}
				if failure.Domain != domain || failure.MX != "mx.example.com" {
					t.Errorf("the error is about %q and %q", failure.Domain, failure.MX)
				}
				if mail := e.Mail("mx.example.com"); len(mail) != 0 {
					t.Errorf("the MX has %d messages", len(mail))
				}
				if ev := e.events(mtasts.EventSession); len(ev) != 1 || ev[0].Result != fault.result || ev[0].Reason != fault.reason || ev[0].Err == nil {
					t.Errorf("events are %+v, want one with %s", ev, fault.result)
				}
			})
		})
	}
}

func TestRFC8461_5_TestingDeliversAndReports(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				if err := e.attempt(mtasts.ModeTesting, fault.mx, e.opportunistic()); err != nil {
					t.Fatalf("the message was held back: %v", err)
				}
				if mail := e.Mail("mx.example.com"); len(mail) != 1 {
					t.Errorf("the MX has %d messages, want 1", len(mail))
				} else if strings.HasPrefix(string(fault.result), "certificate-") && mail[0].TLS == nil {
					t.Error("an unverified session was replaced by clear text")
				}
				if ev := e.events(mtasts.EventSession); len(ev) != 1 || ev[0].Result != fault.result || ev[0].Reason != fault.reason {
					t.Errorf("events are %+v, want one with %s", ev, fault.result)
				}
			})
		})
	}
}

func TestRFC8461_5_NoneIsAsIfThereWereNoPolicy(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				if err := e.attempt(mtasts.ModeNone, fault.mx, nil); err != nil {
					t.Fatal(err)
				}
				if len(e.Mail("mx.example.com")) != 1 {
					t.Error("the message was held back")
				}
				if ev := e.Events(); len(ev) != 1 || ev[0].Kind != mtasts.EventOpportunistic {
					t.Errorf("events are %+v, want one about an attempt without a policy to apply", ev)
				}
			})
		})
	}
}

func TestAVerifiedSessionIsReportedAsASuccess(t *testing.T) {
	for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting} {
		for _, cert := range []mtaststest.Certificate{mtaststest.Good, mtaststest.WildcardName} {
			play(t, func(t *testing.T, e *env) {
				if err := e.attempt(mode, mtaststest.MX{Certificate: cert}, e.opportunistic()); err != nil {
					t.Fatal(err)
				}
				if mail := e.Mail("mx.example.com"); len(mail) != 1 || mail[0].TLS == nil {
					t.Fatalf("mail is %+v", mail)
				}
				if ev := e.Events(); len(ev) != 1 || ev[0].Kind != mtasts.EventSession || ev[0].Result != "" || ev[0].Err != nil ||
					ev[0].MX != "mx.example.com" || ev[0].Policy.Mode != mode || ev[0].Time.IsZero() {
					t.Errorf("events are %+v", ev)
				}
			})
		}
	}
}

func TestRFC8461_4_TheMXNameIsCheckedAndNotOnlyTheCertificate(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.com", "*.mail.example.com"))
		e.AddMX("evil.example.net", mtaststest.MX{}) // its certificate is valid for that name
		for _, mx := range []string{"evil.example.net", "mail.example.com", "a.b.mail.example.com", "mx.example.com.evil.example.net",
			".", "", "192.0.2.1", "[192.0.2.1]", "mx.example.com\r\n", "*.mail.example.com", strings.Repeat("a.", 1000), "xn--", "\xff"} {
			h, err := e.policy().CheckMX(mx)
			if h != nil || !errors.Is(err, mtasts.ErrNotListed) || result(err) != mtasts.ResultValidationFailure {
				t.Errorf("CheckMX(%.40q) = %v, %v; want ErrNotListed", mx, h, err)
			} else if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || len(text) > 1000 {
				t.Errorf("the error is not one short line of printable ASCII: %q", text)
			}
		}
		for _, mx := range []string{"mx.example.com", "MX.Example.Com.", "a.mail.example.com"} {
			if _, err := e.policy().CheckMX(mx); err != nil {
				t.Errorf("CheckMX(%q): %v", mx, err)
			}
		}
	})
}

func TestTestingReportsAnMXThatIsNotListedOnce(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeTesting, week, "mx.example.com"))
		e.AddMX("other.example.net", mtaststest.MX{Certificate: mtaststest.Expired})
		if err := e.deliver(e.policy(), "other.example.net", e.opportunistic()); err != nil {
			t.Fatal(err)
		}
		if ev := e.Events(); len(ev) != 1 || ev[0].Result != mtasts.ResultValidationFailure || ev[0].Reason != "mx-not-listed" {
			t.Errorf("events are %+v", ev)
		}
	})
}

func TestRFC8461_4_2_TheRootsAreThoseOfTheSender(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		// Nil means the system's roots, which this World's is not among.
		if err := e.attempt(mtasts.ModeEnforce, mtaststest.MX{}, nil); result(err) != mtasts.ResultCertificateNotTrusted {
			t.Errorf("error is %v", err)
		}
	})
}

func TestRFC8461_7_1_SNINamesTheMXHost(t *testing.T) {
	for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting, mtasts.ModeNone} {
		play(t, func(t *testing.T, e *env) {
			base := e.opportunistic()
			base.ServerName = "something.else.example"
			if err := e.attempt(mode, mtaststest.MX{}, base); err != nil {
				t.Fatal(err)
			}
			if mail := e.Mail("mx.example.com"); len(mail) != 1 || mail[0].TLS == nil || mail[0].TLS.ServerName != "mx.example.com" {
				t.Errorf("mode %s: mail is %+v", mode, mail)
			}
		})
	}
}

func TestRFC8461_7_2_EnforceDemandsTLS12(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		base := e.opportunistic()
		base.MinVersion = tls.VersionTLS10
		if err := e.attempt(mtasts.ModeEnforce, mtaststest.MX{MaxTLS: tls.VersionTLS11}, base); err == nil {
			t.Error("TLS 1.1 was accepted")
		}
		if err := e.attempt(mtasts.ModeEnforce, mtaststest.MX{MaxTLS: tls.VersionTLS12}, base); err != nil {
			t.Errorf("TLS 1.2: %v", err)
		}
	})
}

// handshake does STARTTLS with the MX host at address, and returns its error.
func (e *env) handshake(address string, cfg *tls.Config) error {
	e.t.Helper()
	conn, err := e.Dial(e.t.Context(), "tcp", address)
	if err != nil {
		e.t.Fatal(err)
	}
	defer conn.Close()
	c := textproto.NewConn(conn)
	c.ReadResponse(220)
	c.PrintfLine("STARTTLS")
	c.ReadResponse(220)
	return tls.Client(conn, cfg).Handshake()
}

func TestTLSConfigOnlyEverTightensItsBase(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting, mtasts.ModeNone} {
			e.Publish(string(mode)+".example", "1", mtaststest.Policy(mode, week, "mx.example.com"))
			h, err := e.policyFor(string(mode) + ".example").CheckMX("mx.example.com")
			if err != nil {
				t.Fatal(err)
			}
			// A sender that verifies every MX host still does.
			strict := &tls.Config{RootCAs: e.Roots(), MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13}
			cfg := h.TLSConfig(strict)
			if cfg == strict || cfg.InsecureSkipVerify || cfg.MinVersion != tls.VersionTLS13 || cfg.MaxVersion != tls.VersionTLS13 || cfg.RootCAs != strict.RootCAs {
				t.Errorf("mode %s loosened a strict base: %+v", mode, cfg)
			}
			if strict.ServerName != "" || strict.VerifyConnection != nil {
				t.Errorf("mode %s changed the base itself", mode)
			}
			if skip := h.TLSConfig(nil).InsecureSkipVerify; skip != (mode != mtasts.ModeEnforce) {
				t.Errorf("mode %s, nil base: InsecureSkipVerify is %v", mode, skip)
			}
			if skip := h.TLSConfig(&tls.Config{InsecureSkipVerify: true}).InsecureSkipVerify; skip != (mode != mtasts.ModeEnforce) {
				t.Errorf("mode %s, opportunistic base: InsecureSkipVerify is %v", mode, skip)
			}
		}
	})
}

func TestAStrictSenderFailsInTestingModeAsItAsked(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeTesting, week, "mx.example.com"))
		e.AddMX("mx.example.com", mtaststest.MX{Certificate: mtaststest.Expired})
		h, err := e.policy().CheckMX("mx.example.com")
		if err != nil {
			t.Fatal(err)
		}
		err = e.handshake("mx.example.com:25", h.TLSConfig(&tls.Config{RootCAs: e.Roots()}))
		if err == nil {
			t.Fatal("a remote policy of mode testing lowered what the operator demands")
		}
		if err := h.AllowFallback(err); err != nil {
			t.Errorf("AllowFallback: %v; no policy forbids it", err)
		}
		if ev := e.Events(); len(ev) != 1 || ev[0].Result != mtasts.ResultCertificateExpired {
			t.Errorf("events are %+v", ev)
		}
	})
}

func TestAConfigurationThatWasLoosenedAfterwardsFails(t *testing.T) {
	for name, loosen := range map[string]func(*tls.Config){
		"InsecureSkipVerify": func(c *tls.Config) { c.InsecureSkipVerify = true },
		"ServerName":         func(c *tls.Config) { c.ServerName = "mx.example.org" },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				e.cachePolicy()
				e.AddMX("mx.example.com", mtaststest.MX{})
				e.AddMX("mx.example.org", mtaststest.MX{})
				h, err := e.policy().CheckMX("mx.example.com")
				if err != nil {
					t.Fatal(err)
				}
				cfg := h.TLSConfig(e.opportunistic())
				loosen(cfg)
				if err := e.handshake(cfg.ServerName+":25", cfg); err == nil {
					t.Error("the handshake passed for a verified one")
				}
			})
		})
	}
}

func TestRFC8461_5_AViolationIsTransient(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		if err := e.attempt(mtasts.ModeEnforce, mtaststest.MX{Certificate: mtaststest.Expired}, e.opportunistic()); err == nil {
			t.Fatal("want a violation")
		}
		// The publisher renews the certificate; nothing else changes.
		e.AddMX("mx.example.com", mtaststest.MX{})
		if err := e.deliver(e.policy(), "mx.example.com", e.opportunistic()); err != nil {
			t.Errorf("the next attempt fails as well: %v", err)
		}
	})
}

func TestEachViolationUnderEnforceMakesTheNextCallerWaitForACheck(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				if err := e.attempt(mtasts.ModeEnforce, fault.mx, e.opportunistic()); err == nil {
					t.Fatal("want a violation")
				}
				e.Publish(domain, "2", mtaststest.Policy(mtasts.ModeTesting, week, "mx.example.com"))
				e.want(e.policyNow(), mtasts.ModeTesting, "2")
			})
		})
	}
}

func TestALiteralPolicyDecidesToo(t *testing.T) {
	p := &mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce, MX: []string{"*.example.com"}, Expires: time.Now().Add(time.Hour)}
	h, err := p.CheckMX("mx.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AllowFallback(nil); !errors.Is(err, mtasts.ErrNoSTARTTLS) {
		t.Errorf("AllowFallback(nil) = %v: no cause must not mean consent", err)
	}
	if _, err := p.CheckMX("mx.example.net"); !errors.Is(err, mtasts.ErrNotListed) {
		t.Errorf("error is %v", err)
	}
}

func TestErrorsHoldNoUntrustedOctets(t *testing.T) {
	p := &mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce, MX: []string{"mx.example.com"}}
	h, err := p.CheckMX("mx.example.com")
	if err != nil {
		t.Fatal(err)
	}
	evil := &textproto.Error{Code: 454, Msg: "no\r\n250 ok\x1b[2J \u202e " + strings.Repeat("\u00fc", 10000)}
	text := h.AllowFallback(evil).Error()
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || len(text) > 1000 {
		t.Errorf("the error is not one short line of printable ASCII: %q", text)
	}
	if !strings.HasPrefix(text, "mtasts: example.com: mx.example.com: starttls-not-supported: 454 ") {
		t.Errorf("the error does not say what and where: %q", text)
	}
}
