//go:build e2e

package e2e

import (
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
)

// Each MX host of mx.go is sent three messages: under a policy in mode enforce, under one in
// mode testing, and without a policy. Its fault prevents delivery in the first case only. It
// is reported in the first two.
func TestMXFaults(t *testing.T) {
	w := newWorld(t)
	for _, mx := range []struct {
		label  string
		fault  string
		result mtasts.Result
		reason string
		tls    string // of the delivery where the fault does not prevent it
	}{
		{"plain", "STARTTLS is not offered", mtasts.ResultSTARTTLSNotSupported, "starttls-not-offered", ""},
		{"refusing", "STARTTLS is answered with 454", mtasts.ResultSTARTTLSNotSupported, "smtp-454", ""},
		{"tls11", "TLS 1.1 only", mtasts.ResultValidationFailure, "tls-alert-70", ""},
		{"untrusted", "the CA is unknown", mtasts.ResultCertificateNotTrusted, "unknown-authority", "TLSv1.3"},
		{"expired", "the certificate has expired", mtasts.ResultCertificateExpired, "", "TLSv1.3"},
		{"misnamed", "the certificate is for another name", mtasts.ResultCertificateHostMismatch, "", "TLSv1.3"},
	} {
		t.Run(mx.fault, func(t *testing.T) {
			t.Parallel()
			domain, host := mx.label+".example", "mx."+mx.label+".example"
			w.sender(t).send(t, "enforce@"+domain).deferred(t).
				sessions(t, under(domain, mtasts.ModeEnforce, "1").session(host, mx.result, mx.reason))

			w.publish(t, domain, "2", policy("testing", 604800, host))
			w.sender(t).send(t, "testing@"+domain).delivered(t, host, mx.tls).
				sessions(t, under(domain, mtasts.ModeTesting, "2").session(host, mx.result, mx.reason))

			w.dns.replace(t, "_mta-sts."+domain, "TXT")
			w.sender(t).send(t, "none@"+domain).delivered(t, host, mx.tls).sessions(t)
		})
	}

	t.Run("the MX is on IPv6", func(t *testing.T) {
		t.Parallel()
		w.sender(t).send(t, "enforce@ipv6.example").delivered(t, "mx.ipv6.example", "TLSv1.3").
			sessions(t, under("ipv6.example", mtasts.ModeEnforce, "1").session("mx.ipv6.example", "", ""))
	})

	t.Run("of two MX hosts the preferred one is not listed", func(t *testing.T) {
		t.Parallel()
		notListed := func(mode mtasts.Mode, id string) report {
			return under("two.example", mode, id).session("stray.two.example", mtasts.ResultValidationFailure, "mx-not-listed")
		}
		w.sender(t).send(t, "enforce@two.example").delivered(t, "mx.two.example", "TLSv1.3").
			sessions(t, notListed(mtasts.ModeEnforce, "1"),
				under("two.example", mtasts.ModeEnforce, "1").session("mx.two.example", "", ""))

		w.publish(t, "two.example", "2", policy("testing", 604800, "mx.two.example"))
		w.sender(t).send(t, "testing@two.example").delivered(t, "stray.two.example", "TLSv1.3").
			sessions(t, notListed(mtasts.ModeTesting, "2"))

		w.dns.replace(t, "_mta-sts.two.example", "TXT")
		w.sender(t).send(t, "none@two.example").delivered(t, "stray.two.example", "TLSv1.3").sessions(t)
	})

	t.Run("the third MX host is good", func(t *testing.T) {
		t.Parallel()
		w.dns.replace(t, "several.test", "MX", "10 mx.victims.test.", "5 mx.attacker.test.", "1 mx.misnamed.example.")
		w.publish(t, "several.test", "2", policy("enforce", 604800, "mx.victims.test", "mx.misnamed.example"))
		several := under("several.test", mtasts.ModeEnforce, "2")
		w.sender(t).send(t, "enforce@several.test").delivered(t, "mx.victims.test", "TLSv1.3").sessions(t,
			several.session("mx.misnamed.example", mtasts.ResultCertificateHostMismatch, ""),
			several.session("mx.attacker.test", mtasts.ResultValidationFailure, "mx-not-listed"),
			several.session("mx.victims.test", "", ""))
	})
}
