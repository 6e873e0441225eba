//go:build e2e

package e2e

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// The policy hosts of this world are on loopback. On the Internet no policy host can be
// there: without permission a sender must not connect to such an address, whatever the DNS of
// an untrusted domain says.
func TestAddressGuard(t *testing.T) {
	w := newWorld(t)
	const domain, host = "plain.example", "mx.plain.example"
	refused := under(domain, "", "").policy(mtasts.ResultPolicyFetchError, "unspecified")

	for to, allow := range map[string][]string{
		"nothing.allowed": nil,
		"others.allowed":  {"10.0.0.0/8", "127.0.0.1/32"},
	} {
		s := w.sender(t)
		s.allow = allow
		s.send(t, to+"@"+domain).delivered(t, host, "").sessions(t).policyTrouble(t, refused)
	}
	requests := filepath.Join(w.dir, "nginx", "access.log")
	if got := tail(requests); got != "" {
		t.Errorf("requests though the addresses are not allowed:\n%s", got)
	}

	w.sender(t).send(t, "allowed@"+domain).deferred(t).
		sessions(t, under(domain, mtasts.ModeEnforce, "1").session(host, mtasts.ResultSTARTTLSNotSupported, "starttls-not-offered"))
	eventually(t, "the request is in nginx's log", func() error {
		if tail(requests) == "" {
			return errors.New("the log is empty")
		}
		return nil
	})
}

// A publisher can change to other MX hosts or opt out. A sender that has the old policy in
// its cache checks for a new one before it defers a message.
func TestPublisherChanges(t *testing.T) {
	w := newWorld(t)

	t.Run("to another MX host", func(t *testing.T) {
		t.Parallel()
		const domain = "moved.test"
		s := w.sender(t)
		s.send(t, "before@"+domain).delivered(t, "mx.victims.test", "TLSv1.3")
		w.publish(t, domain, "2", policy("enforce", 604800, "talon.nmrc.org"))
		w.dns.replace(t, domain, "MX", "10 talon.nmrc.org.")
		s.send(t, "after@"+domain).delivered(t, "talon.nmrc.org", "TLSv1.3").sessions(t,
			under(domain, mtasts.ModeEnforce, "1").session("talon.nmrc.org", mtasts.ResultValidationFailure, "mx-not-listed"),
			under(domain, mtasts.ModeEnforce, "2").session("talon.nmrc.org", "", ""))

		// The new policy is in the cache.
		w.dns.replace(t, "_mta-sts."+domain, "TXT")
		w.dns.replace(t, domain, "MX", "10 mx.victims.test.")
		s.send(t, "back@"+domain).deferred(t).
			sessions(t, under(domain, mtasts.ModeEnforce, "2").session("mx.victims.test", mtasts.ResultValidationFailure, "mx-not-listed"))
	})

	// RFC 8461, Section 8.3: to opt out, a publisher first changes to a policy of mode none,
	// with a new id.
	t.Run("to mode none", func(t *testing.T) {
		t.Parallel()
		const domain = "optout.test"
		s := w.sender(t)
		s.send(t, "before@"+domain).delivered(t, "mx.victims.test", "TLSv1.3")
		w.dns.replace(t, domain, "MX", "10 mx.plain.example.")
		w.publish(t, domain, "2", policy("none", 86400))
		s.send(t, "after@"+domain).delivered(t, "mx.plain.example", "").sessions(t,
			under(domain, mtasts.ModeEnforce, "1").session("mx.plain.example", mtasts.ResultValidationFailure, "mx-not-listed"))

		// Without the record, too, the old policy no longer applies.
		w.dns.replace(t, "_mta-sts."+domain, "TXT")
		s.send(t, "later@"+domain).delivered(t, "mx.plain.example", "").sessions(t)
	})
}

func TestMaxAge(t *testing.T) {
	w := newWorld(t)

	// RFC 8461, Section 3.2: max_age begins when the policy is fetched.
	t.Run("a policy expires", func(t *testing.T) {
		t.Parallel()
		const domain = "brief.test"
		w.publish(t, domain, "2", policy("enforce", 1, "mx.victims.test"))
		s := w.sender(t)
		s.send(t, "before@"+domain).delivered(t, "mx.victims.test", "TLSv1.3").
			sessions(t, under(domain, mtasts.ModeEnforce, "2").session("mx.victims.test", "", ""))
		fetched := time.Now() // at the latest

		w.dns.replace(t, "_mta-sts."+domain, "TXT")
		w.dns.replace(t, domain, "MX", "10 mx.attacker.test.")
		// The sender is another process: its clock is real.
		<-time.After(time.Until(fetched.Add(1100 * time.Millisecond)))
		s.send(t, "after@"+domain).delivered(t, "mx.attacker.test", "TLSv1.3").sessions(t)
	})

	t.Run("0 is for one message", func(t *testing.T) {
		t.Parallel()
		const domain = "once.test"
		w.publish(t, domain, "2", policy("enforce", 0, "mx.victims.test"))
		w.dns.replace(t, domain, "MX", "10 mx.attacker.test.")
		s := w.sender(t)
		for _, to := range []string{"first", "second"} {
			s.send(t, to+"@"+domain).deferred(t)
		}
		w.dns.replace(t, "_mta-sts."+domain, "TXT")
		s.send(t, "third@"+domain).delivered(t, "mx.attacker.test", "TLSv1.3").sessions(t)
	})
}
