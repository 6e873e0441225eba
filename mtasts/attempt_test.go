package mtasts_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// reply is the error type for replies of an SMTP library other than net/smtp.
type reply struct {
	Code    int
	Message string
}

func (r *reply) Error() string   { return r.Message }
func (r *reply) Temporary() bool { return r.Code/100 == 4 }

// host is the decision for mx.example.com under a policy of mode.
func (e *env) host(mode mtasts.Mode) *mtasts.Host {
	e.t.Helper()
	e.Publish(domain, "1", mtaststest.Policy(mode, week, "mx.example.com"))
	h, err := e.policy().CheckMX("mx.example.com")
	if err != nil {
		e.t.Fatal(err)
	}
	return h
}

// A violation is transient, whatever the server has said: errors.As finds no 5xx reply in its
// error.
func TestRFC8461_5_AViolationIsNoRejection(t *testing.T) {
	greeting := &textproto.Error{Code: 554, Msg: "5.7.1 go away"}
	other := &reply{554, "5.7.1 go away"}
	for _, cause := range []error{greeting, other,
		fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, greeting), fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, other),
		errors.Join(mtasts.ErrNoSTARTTLS, fmt.Errorf("STARTTLS: %w", greeting)),
		fmt.Errorf("tls: %w", &tls.CertificateVerificationError{Err: errors.New("x509: 554 5.7.1")}),
	} {
		play(t, func(t *testing.T, e *env) {
			h := e.host(mtasts.ModeEnforce)
			err := h.AllowFallback(cause)
			var (
				text      *textproto.Error
				own       *reply
				temporary interface{ Temporary() bool }
			)
			if err == nil || errors.As(err, &text) || errors.As(err, &own) || errors.As(err, &temporary) {
				t.Errorf("%v: the reply of the server can be found", err)
			}
			if errors.Is(err, mtasts.ErrNoSTARTTLS) != errors.Is(cause, mtasts.ErrNoSTARTTLS) {
				t.Errorf("%v: errors.Is differs from that of the cause", err)
			}
			var wrong *tls.CertificateVerificationError
			if errors.As(err, &wrong) != errors.As(cause, &wrong) {
				t.Errorf("%v: what is wrong with the certificate cannot be found", err)
			}
			if violation := err.(*mtasts.Error); violation.EnhancedCode()[0] != '4' {
				t.Errorf("enhanced code %s", violation.EnhancedCode())
			}
		})
	}
}

func TestNoSTARTTLSInTheWordsOfAnyLibrary(t *testing.T) {
	for _, test := range []struct {
		cause  error
		reason string
	}{
		{nil, "starttls-not-offered"},
		{mtasts.ErrNoSTARTTLS, "starttls-not-offered"},
		{fmt.Errorf("mx: %w", mtasts.ErrNoSTARTTLS), "starttls-not-offered"},
		{fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, &textproto.Error{Code: 454, Msg: "no"}), "smtp-454"},
		{&textproto.Error{Code: 502, Msg: "no"}, "smtp-502"},
		{fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, &reply{454, "no"}), "starttls-unavailable"},
		{fmt.Errorf("%w: 454 4.7.0 TLS not available", mtasts.ErrNoSTARTTLS), "starttls-unavailable"},
		{errors.Join(mtasts.ErrNoSTARTTLS, errors.New("454 4.7.0 TLS not available")), "starttls-unavailable"},
	} {
		play(t, func(t *testing.T, e *env) {
			err := e.host(mtasts.ModeEnforce).AllowFallback(test.cause)
			if failure, ok := err.(*mtasts.Error); !ok || failure.Result != mtasts.ResultSTARTTLSNotSupported || failure.Reason != test.reason {
				t.Errorf("%v: %#v, want reason %s", test.cause, err, test.reason)
			}
		})
	}
}

// A sender that joins ErrNoSTARTTLS with a certificate error does not hide the certificate.
func TestErrNoSTARTTLSHidesNoCertificate(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		h := e.host(mtasts.ModeEnforce)
		e.AddMX("mx.example.com", mtaststest.MX{Certificate: mtaststest.Expired})
		err := e.handshake("mx.example.com:25", h.TLSConfig(e.opportunistic()))
		err = h.AllowFallback(fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, err))
		if result(err) != mtasts.ResultCertificateExpired {
			t.Errorf("error is %v", err)
		}
	})
}

// A literal Policy without a mode enforces.
func TestAPolicyWithoutAModeIsStrict(t *testing.T) {
	p := &mtasts.Policy{Domain: domain, MX: []string{"mx.example.com"}}
	h, err := p.CheckMX("mx.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if h.TLSConfig(nil).InsecureSkipVerify || h.AllowFallback(nil) == nil || h.Verify(tls.ConnectionState{}) == nil {
		t.Error("it allows something")
	}
	if _, err := (&mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce}).CheckMX("mx.example.com"); !strings.HasSuffix(err.Error(), "allows none") {
		t.Errorf("%v", err)
	}
}

func TestAnAttemptHasOneOutcome(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		h := e.host(mtasts.ModeTesting)
		for range 3 {
			h.AllowFallback(mtasts.ErrNoSTARTTLS)
			h.Verify(tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13})
		}
		if ev := e.events(mtasts.EventSession); len(ev) != 1 || ev[0].Reason != "starttls-not-offered" {
			t.Errorf("events are %+v, want the first outcome", ev)
		}
	})
	play(t, func(t *testing.T, e *env) {
		p := e.host(mtasts.ModeTesting)
		_ = p
		for range 3 { // to sort the hosts, for example
			h, err := e.policy().CheckMX("other.example")
			if err != nil || h.Listed {
				t.Fatal(h, err)
			}
		}
		if ev := e.events(mtasts.EventSession); len(ev) != 0 {
			t.Errorf("events are %+v before any attempt", ev)
		}
	})
}

// open sets up a TLS session with mx.example.com as h says, and returns its state.
func (e *env) open(h *mtasts.Host, base *tls.Config) (cs tls.ConnectionState) {
	e.t.Helper()
	cfg := h.TLSConfig(base)
	check := cfg.VerifyConnection
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		cs = state
		cs.HandshakeComplete = true
		if check != nil {
			return check(state)
		}
		return nil
	}
	if err := e.handshake("mx.example.com:25", cfg); err != nil {
		e.t.Fatal(err)
	}
	return cs
}

// A session that was opened under one decision is judged by the next one.
func TestASessionIsVerifiedAgainBeforeItIsReused(t *testing.T) {
	clear := func(*env, *mtasts.Host) tls.ConnectionState { return tls.ConnectionState{} }
	encrypted := func(e *env, h *mtasts.Host) tls.ConnectionState { return e.open(h, e.opportunistic()) }
	enforce := func(e *env) { e.publish("2", "mx.example.com") }
	sessions := map[string]struct {
		mx   mtaststest.MX
		open func(*env, *mtasts.Host) tls.ConnectionState
		good bool
	}{
		"in clear":       {mtaststest.MX{NoSTARTTLS: true}, clear, false},
		"expired":        {mtaststest.MX{Certificate: mtaststest.Expired}, encrypted, false},
		"another's name": {mtaststest.MX{Certificate: mtaststest.WrongName}, encrypted, false},
		"self-signed":    {mtaststest.MX{Certificate: mtaststest.SelfSigned}, encrypted, false},
		"good":           {mtaststest.MX{}, encrypted, true},
	}
	action := mtasts.ActionObserve
	before := map[string]struct {
		mode   mtasts.Mode
		change func(*env)
	}{
		"testing, then a new id": {mtasts.ModeTesting, enforce},
		"none, then a new id":    {mtasts.ModeNone, enforce},
		"the same id": {mtasts.ModeTesting, func(e *env) {
			e.sleep(5 * day)
			e.publish("1", "mx.example.com")
			e.client.Recheck(e.t.Context(), domain)
		}},
		"an override that ends":    {mtasts.ModeEnforce, func(*env) { action = "" }},
		"an exemption that ends":   {mtasts.ModeEnforce, func(*env) { action = "" }},
		"no policy known at first": {"", enforce},
	}
	for sessionName, session := range sessions {
		for name, b := range before {
			t.Run(sessionName+", "+name, func(t *testing.T) {
				play(t, func(t *testing.T, e *env) {
					switch {
					case strings.HasPrefix(name, "an override"):
						action = mtasts.ActionObserve
					case strings.HasPrefix(name, "an exemption"):
						action = mtasts.ActionExempt
					default:
						action = ""
					}
					e.overrideWith(&action)
					e.AddMX("mx.example.com", session.mx)
					if b.mode != "" {
						e.Publish(domain, "1", mtaststest.Policy(b.mode, week, "mx.example.com"))
					}
					first, err := e.policy().CheckMX("mx.example.com")
					if err != nil {
						t.Fatal(err)
					}
					cs := session.open(e, first)
					if err := first.Verify(cs); err != nil {
						t.Fatalf("before enforce: %v", err)
					}
					b.change(e)
					e.sleep(10 * 60e9)
					e.policy()
					second, err := e.policy().CheckMX("mx.example.com")
					if err != nil {
						t.Fatal(err)
					}
					second.TLSConfig(e.opportunistic()) // its roots count
					if err := second.Verify(cs); (err == nil) != session.good {
						t.Errorf("under enforce Verify says %v", err)
					}
					if sessionName == "in clear" {
						return // it does not show what the MX host offers
					}
					if ev := e.events(mtasts.EventSession); len(ev) == 0 || (ev[len(ev)-1].Err == nil) != session.good {
						t.Errorf("events are %+v", ev)
					}
				})
			})
		}
	}
}

// A session that was verified for one name is not valid for another.
func TestVerifyJudgesTheSessionForThisMX(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.AddMX("mx.example.com", mtaststest.MX{})
		cs := e.open(e.host(mtasts.ModeEnforce), e.opportunistic())
		other := &mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce, MX: []string{"mx.example.net"}}
		h, err := other.CheckMX("mx.example.net")
		if err != nil {
			t.Fatal(err)
		}
		h.TLSConfig(e.opportunistic())
		if err := h.Verify(cs); result(err) != mtasts.ResultCertificateHostMismatch {
			t.Errorf("error is %v", err)
		}
		cs.Version = tls.VersionTLS11
		h = e.host(mtasts.ModeEnforce)
		h.TLSConfig(e.opportunistic())
		if err := h.Verify(cs); err == nil {
			t.Error("TLS 1.1 passes")
		}
	})
}

// A session is invalid once its certificate has expired.
func TestVerifySeesACertificateThatHasExpiredSince(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.AddMX("mx.example.com", mtaststest.MX{})
		cs := e.open(e.host(mtasts.ModeEnforce), e.opportunistic())
		p := &mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce, MX: []string{"mx.example.com"}}
		verify := func(base *tls.Config) error {
			h, err := p.CheckMX("mx.example.com")
			if err != nil {
				t.Fatal(err)
			}
			h.TLSConfig(base)
			return h.Verify(cs)
		}
		if err := verify(e.opportunistic()); err != nil {
			t.Error(err)
		}
		later := e.opportunistic()
		later.Time = func() time.Time { return cs.PeerCertificates[0].NotAfter.Add(time.Second) }
		if err := verify(later); result(err) != mtasts.ResultCertificateExpired {
			t.Errorf("by the clock of the base: %v", err)
		}
		e.sleep(time.Until(cs.PeerCertificates[0].NotAfter) + time.Second)
		if err := verify(e.opportunistic()); result(err) != mtasts.ResultCertificateExpired {
			t.Errorf("by the clock: %v", err)
		}
	})
}

// daneError is an error of the sender's own.
type daneError struct{}

func (*daneError) Error() string { return "no TLSA record matches" }

func TestRFC8461_2_AFailingDANECheckIsNeverOverridden(t *testing.T) {
	var errDANE error = new(daneError)
	bases := map[string]func(*tls.Config){
		"VerifyConnection": func(c *tls.Config) { c.VerifyConnection = func(tls.ConnectionState) error { return errDANE } },
		"VerifyPeerCertificate": func(c *tls.Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errDANE }
		},
	}
	for name, set := range bases {
		for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting, mtasts.ModeNone} {
			play(t, func(t *testing.T, e *env) {
				h := e.host(mode)
				e.AddMX("mx.example.com", mtaststest.MX{})
				base := e.opportunistic()
				set(base)
				err := e.handshake("mx.example.com:25", h.TLSConfig(base))
				if !errors.Is(err, errDANE) {
					t.Fatalf("the handshake ended with %v", err)
				}
				// Even if the SMTP library loses the error.
				for _, cause := range []error{err, errors.New("handshake failed"), mtasts.ErrNoSTARTTLS} {
					var own *daneError
					if err := h.AllowFallback(cause); !errors.As(err, &own) {
						t.Errorf("%s, mode %s: AllowFallback(%v) = %v", name, mode, cause, err)
					}
				}
				if ev := e.events(mtasts.EventSession); len(ev) > 1 || len(ev) == 1 && ev[0].Err == nil {
					t.Errorf("events are %+v", ev)
				}
			})
		}
	}
}

func TestAnAddressAsMXIsNotSentAsSNI(t *testing.T) {
	p := &mtasts.Policy{Domain: domain, Mode: mtasts.ModeNone}
	for mx, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "192.0.2.1.": "192.0.2.1", "192.0.2.1..": "192.0.2.1", "[192.0.2.1].": "[192.0.2.1]",
		"2001:db8::1": "2001:db8::1", "[2001:db8::1].": "[2001:db8::1]", // crypto/tls sends none of these
		"mx.example.com.": "mx.example.com", "MX.example.com": "mx.example.com",
		"1.2.3.4.5": "", "mx.example.com\r\n": "", "": "", ".": "",
	} {
		h, err := p.CheckMX(mx)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.TLSConfig(nil).ServerName; got != want {
			t.Errorf("CheckMX(%q): ServerName is %q, want %q", mx, got, want)
		}
	}
}
