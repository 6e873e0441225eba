package mtasts_test

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// The fates of a message for example.com, whose two MX hosts are mx1 and mx2.
const (
	delivered = "delivered"
	deferred  = "deferred"
	rejected  = "rejected"
)

// viaLoop passes a message to the delivery loop of the documentation. It trusts the system's
// roots, so under enforce no certificate of this World verifies.
func (e *env) viaLoop() string {
	e.t.Helper()
	err := deliver(e.t.Context(), e.client, domain, []string{"mx1.example.com", "mx2.example.com"},
		message{"a@sender.example", "b@example.com", []byte("Hello.\r\n"), e.Dial})
	if err == nil {
		return delivered
	}
	if _, ok := errors.AsType[rejection](err); ok {
		return rejected
	}
	return deferred
}

// Only a 5xx reply to MAIL, RCPT or DATA ends a message. All other errors are about one host.
func TestTheDeliveryLoopBouncesOnNothingButARejection(t *testing.T) {
	replies := func(verb, reply string) mtaststest.MX {
		r := mtaststest.Replies{verb: reply}
		return mtaststest.MX{Replies: r, TLSReplies: r}
	}
	clear := func(verb, reply string) mtaststest.MX {
		return mtaststest.MX{NoSTARTTLS: true, Replies: mtaststest.Replies{verb: reply}}
	}
	inTLS := func(verb, reply string) mtaststest.MX {
		return mtaststest.MX{TLSReplies: mtaststest.Replies{verb: reply}}
	}
	for name, test := range map[string]struct {
		first                  mtaststest.MX
		enforce, testing, none string // with a second host that refuses connections
	}{
		"good":                       {mtaststest.MX{}, deferred, delivered, delivered},
		"greeting 554":               {mtaststest.MX{Replies: mtaststest.Replies{"": "554 5.7.1 no"}}, deferred, deferred, deferred},
		"EHLO 550":                   {mtaststest.MX{Replies: mtaststest.Replies{"EHLO": "550 no", "HELO": "550 no"}}, deferred, deferred, deferred},
		"STARTTLS 554":               {mtaststest.MX{Replies: mtaststest.Replies{"STARTTLS": "554 5.7.1 no"}}, deferred, delivered, delivered},
		"STARTTLS not offered":       {mtaststest.MX{NoSTARTTLS: true}, deferred, delivered, delivered},
		"starttls in lower case":     {mtaststest.MX{Replies: mtaststest.Replies{"EHLO": "250-mx1.example.com\r\n250 starttls"}}, deferred, delivered, delivered},
		"EHLO 502 inside TLS":        {inTLS("EHLO", "502 no"), deferred, deferred, deferred},
		"hangs up inside TLS":        {inTLS("", mtaststest.HangUp), deferred, delivered, delivered},
		"MAIL 550":                   {replies("MAIL", "550 5.7.1 no"), deferred, rejected, rejected},
		"MAIL 451":                   {replies("MAIL", "451 4.7.1 no"), deferred, deferred, deferred},
		"RCPT 550":                   {replies("RCPT", "550 5.1.1 no"), deferred, rejected, rejected},
		"DATA 554":                   {replies("DATA", "554 5.7.1 no"), deferred, rejected, rejected},
		"the end of DATA 552":        {replies(".", "552 5.2.2 no"), deferred, rejected, rejected},
		"MAIL 530 in clear text":     {clear("MAIL", "530 5.7.0 Must issue a STARTTLS command first"), deferred, deferred, deferred},
		"MAIL 550 in clear text":     {clear("MAIL", "550 5.7.1 no"), deferred, rejected, rejected},
		"MAIL 530 inside TLS":        {inTLS("MAIL", "530 5.7.0 Authentication required"), deferred, rejected, rejected},
		"a certificate that is none": {mtaststest.MX{Certificate: mtaststest.Expired}, deferred, delivered, delivered},
	} {
		for mode, want := range map[mtasts.Mode]string{mtasts.ModeEnforce: test.enforce, mtasts.ModeTesting: test.testing, mtasts.ModeNone: test.none} {
			t.Run(name+", "+string(mode), func(t *testing.T) {
				play(t, func(t *testing.T, e *env) {
					e.Publish(domain, "1", mtaststest.Policy(mode, week, "mx1.example.com", "mx2.example.com"))
					e.AddMX("mx1.example.com", test.first)
					if got := e.viaLoop(); got != want {
						t.Errorf("the message was %s, want %s", got, want)
					}
				})
				if want == delivered || want == rejected {
					return
				}
				play(t, func(t *testing.T, e *env) { // the next host is tried
					e.Publish(domain, "1", mtaststest.Policy(mtasts.ModeTesting, week, "mx1.example.com", "mx2.example.com"))
					e.AddMX("mx1.example.com", test.first)
					e.AddMX("mx2.example.com", mtaststest.MX{})
					if e.viaLoop(); mode != mtasts.ModeEnforce && len(e.Mail("mx2.example.com")) != 1 {
						t.Error("the second host has no mail")
					}
				})
			})
		}
	}
}

// A handshake succeeds when the server's first reply comes, not when the certificate verifies.
func TestASessionThatFailsAfterTheCertificateIsNoSuccess(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, mx := range map[string]mtaststest.MX{
			"another's key":      {Certificate: mtaststest.WrongKey},
			"client certificate": {ClientCertificate: true},
			"hangs up":           {TLSReplies: mtaststest.Replies{"EHLO": mtaststest.HangUp, "NOOP": mtaststest.HangUp, "": mtaststest.HangUp}},
		} {
			for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting} {
				t.Run(name+", "+tls.VersionName(version)+", "+string(mode), func(t *testing.T) {
					play(t, func(t *testing.T, e *env) {
						mx.MaxTLS = version
						err := e.attempt(mode, mx, e.opportunistic())
						if (err != nil) != (mode == mtasts.ModeEnforce) {
							t.Errorf("error is %v", err)
						}
						ev := e.events(mtasts.EventSession)
						if len(ev) != 1 || ev[0].Err == nil || ev[0].Result == "" {
							t.Fatalf("events are %+v, want one failure", ev)
						}
						if name == "another's key" && ev[0].Result != mtasts.ResultCertificateNotTrusted {
							t.Errorf("reported as %s, %s", ev[0].Result, ev[0].Reason)
						}
					})
				})
			}
		}
	}
}
