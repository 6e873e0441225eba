//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
)

// A message reaches each of the five publishers over TLS, as their policies demand, and
// success is reported.
func TestPublishers(t *testing.T) {
	w := newWorld(t)
	for _, p := range []struct {
		what   string
		domain string
		mode   mtasts.Mode
		id     string
		mx     string
	}{
		{"CRLF lines and a wildcard", "naut.ca", mtasts.ModeEnforce, "20160831085700Z", "mail.naut.ca"},
		{"a web host of another name", "nmrc.org", mtasts.ModeTesting, "20240627092600", "talon.nmrc.org"},
		{"redirects beside the policy, RSA and ECDSA, no final delimiter", "nethence.com", mtasts.ModeTesting, "apr2021", "xc.nethence.com"},
		{"a provider", "example.net", mtasts.ModeEnforce, "20230101000000", "mail.example.net"},
		{"delegated by CNAME", "example.org", mtasts.ModeEnforce, "20230101000000", "mail.example.net"},
		{"delegated by CNAME too", "example.com", mtasts.ModeEnforce, "20230101000000", "mail.example.net"},
		// Here the certificate is not valid for the CNAME's target, octocat.github.io.
		{"static pages, gzip, wildcard in policy and certificate", "pages.example", mtasts.ModeTesting, "20240728", "pages-example.j-v1.mx.microsoft"},
	} {
		t.Run(p.what, func(t *testing.T) {
			t.Parallel()
			s := w.sender(t)
			for _, to := range []string{"first", "second"} { // fetched, cached
				s.send(t, to+"@"+p.domain).delivered(t, p.mx, "TLSv1.3").
					sessions(t, under(p.domain, p.mode, p.id).session(p.mx, "", ""))
			}
		})
	}

	t.Run("delegated, but the certificate does not have the name", func(t *testing.T) {
		t.Parallel()
		w.sender(t).send(t, "someone@example.edu").delivered(t, "mail.example.net", "TLSv1.3").sessions(t).
			policyTrouble(t, under("example.edu", "", "").policy(mtasts.ResultWebPKIInvalid, "certificate-host-mismatch"))
	})
}

// Under mode enforce, a host that the publisher does not list gets no message.
func TestPublishersEnforce(t *testing.T) {
	w := newWorld(t)
	for _, p := range []struct {
		what   string
		domain string
		id     string
		mx     string // in place of the right one; sound in itself
	}{
		{"a wildcard matches one label only", "naut.ca", "20160831085700Z", "in.mail.naut.ca"},
		{"a wildcard does not match the parent", "naut.ca", "20160831085700Z", "naut.ca"},
		{"a provider", "example.net", "20230101000000", "mx.attacker.test"},
		{"delegated by CNAME", "example.org", "20230101000000", "mx.attacker.test"},
	} {
		t.Run(p.what, func(t *testing.T) {
			w.dns.replace(t, p.domain, "MX", "10 "+p.mx+".")
			w.sender(t).send(t, "someone@"+p.domain).deferred(t).
				sessions(t, under(p.domain, mtasts.ModeEnforce, p.id).session(p.mx, mtasts.ResultValidationFailure, "mx-not-listed"))
		})
	}
}

// Under mode testing a failure is reported and the message is delivered. After the publisher
// has changed to mode enforce, a sender that has the old policy in its cache defers mail.
func TestPublishersGoFromTestingToEnforce(t *testing.T) {
	w := newWorld(t)
	for _, p := range []struct {
		domain     string
		oldID, id  string
		mx, policy string
	}{
		{"nmrc.org", "20240627092600", "20240801000000", "talon.nmrc.org",
			policy("enforce", 604800, "talon.nmrc.org")},
		{"pages.example", "20240728", "20240901", "pages-example.j-v1.mx.microsoft",
			policy("enforce", 604800, "pages-example.mail.protection.outlook.com", "*.j-v1.mx.microsoft")},
	} {
		t.Run(p.domain, func(t *testing.T) {
			testing := under(p.domain, mtasts.ModeTesting, p.oldID)
			enforce := under(p.domain, mtasts.ModeEnforce, p.id)
			s := w.sender(t)
			s.send(t, "well@"+p.domain).delivered(t, p.mx, "TLSv1.3").
				sessions(t, testing.session(p.mx, "", ""))

			const other = "mx.plain.example"
			w.dns.replace(t, p.domain, "MX", "10 "+other+".")
			s.send(t, "trouble@"+p.domain).delivered(t, other, "").
				sessions(t, testing.session(other, mtasts.ResultValidationFailure, "mx-not-listed"))

			// The first process applies the cached policy, and revalidates it in the background.
			w.publish(t, p.domain, p.id, p.policy)
			n := 0
			eventually(t, "the new policy is applied", func() error {
				n++
				to := fmt.Sprintf("change%d@%s", n, p.domain)
				a := s.send(t, to)
				if a.status == statusDelivered {
					a.delivered(t, other, "").
						sessions(t, testing.session(other, mtasts.ResultValidationFailure, "mx-not-listed"))
					return errors.New("delivered under the old policy")
				}
				a.deferred(t).sessions(t, enforce.session(other, mtasts.ResultValidationFailure, "mx-not-listed"))
				return nil
			})

			w.dns.replace(t, p.domain, "MX", "10 "+p.mx+".")
			s.send(t, "well.again@"+p.domain).delivered(t, p.mx, "TLSv1.3").
				sessions(t, enforce.session(p.mx, "", ""))
		})
	}
}
