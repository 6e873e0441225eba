//go:build e2e

package e2e

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// The tests in this file call the library in this process. They test what a delivery does
// not show.

// open returns a client with a store, which asks the DNS server at dns. It is closed at the
// end of the test.
func (w *world) open(t *testing.T, db, dns string, check time.Duration) *mtasts.Client {
	t.Helper()
	client, err := mtasts.Open(db, &mtasts.Options{
		Resolver:      resolver.System{Server: dns},
		RootCAs:       w.ca.Pool(),
		AllowNets:     []netip.Prefix{w.net},
		CheckInterval: check,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// A trouble is the part of an *mtasts.Error that a sender acts on.
type trouble struct {
	result    mtasts.Result
	reason    string
	temporary bool
}

// troubleOf asserts that err is an *mtasts.Error about domain.
func troubleOf(t *testing.T, domain string, err error) trouble {
	t.Helper()
	failure, ok := errors.AsType[*mtasts.Error](err)
	if !ok || failure.Domain != domain {
		t.Fatalf("%v, want an *mtasts.Error about %s", err, domain)
	}
	return trouble{failure.Result, failure.Reason, failure.Temporary}
}

func TestPolicyFor(t *testing.T) {
	w := newWorld(t)
	client := w.open(t, filepath.Join(t.TempDir(), "policies.db"), w.dns.addr, 0)
	t.Run("returns what is published", func(t *testing.T) { publishedPolicies(t, client) })
	t.Run("says why there is none", func(t *testing.T) { missingPolicies(t, w, client) })
	t.Run("REFUSED", func(t *testing.T) {
		client := w.open(t, filepath.Join(t.TempDir(), "policies.db"), w.intruder(t, 62, dnsmessage.RCodeRefused), 0)
		p, err := client.PolicyFor(t.Context(), "refused.test")
		if err != nil || p.Mode != mtasts.ModeNone || troubleOf(t, "refused.test", p.Cause) != (trouble{"", "dns-failure", true}) {
			t.Errorf("%+v, %v, want mode none because of a temporary DNS failure", p, err)
		}
	})
}

func publishedPolicies(t *testing.T, client *mtasts.Client) {
	for _, want := range []mtasts.Policy{
		{Domain: "naut.ca", Mode: mtasts.ModeEnforce, ID: "20160831085700Z", MX: []string{"*.naut.ca"},
			Text: "version: STSv1\r\nmode: enforce\r\nmx: *.naut.ca\r\nmax_age: 604800\r\n"},
		{Domain: "pages.example", Mode: mtasts.ModeTesting, ID: "20240728",
			MX:   []string{"pages-example.mail.protection.outlook.com", "*.j-v1.mx.microsoft"},
			Text: policy("testing", 604800, "pages-example.mail.protection.outlook.com", "*.j-v1.mx.microsoft")},
		{Domain: "example.org", Mode: mtasts.ModeEnforce, ID: "20230101000000", MX: []string{"mail.example.net"},
			Text: policy("enforce", 604800, "mail.example.net")},
	} {
		got, err := client.PolicyFor(t.Context(), want.Domain)
		if err != nil {
			t.Errorf("%s: %v", want.Domain, err)
			continue
		}
		if got.Domain != want.Domain || got.Mode != want.Mode || got.ID != want.ID || got.Text != want.Text ||
			!slices.Equal(got.MX, want.MX) || got.Cause != nil || got.Expires.Sub(got.Fetched) != 604800*time.Second {
			t.Errorf("%+v, want %+v, for 604800 seconds", got, want)
		}
	}
}

func missingPolicies(t *testing.T, w *world, client *mtasts.Client) {
	for fault, addr := range w.broken {
		w.dns.replace(t, "mta-sts."+fault+".test", "A", addr)
	}
	w.dns.replace(t, "_mta-sts.norecord.test", "TXT")
	w.dns.replace(t, "_mta-sts.tworecords.test", "TXT", txt("v=STSv1; id=1;"), txt("v=STSv1; id=2;"))
	w.dns.replace(t, "_mta-sts.servfail.test", "TXT")
	w.dns.replace(t, "_mta-sts.servfail.test", "CNAME", "_mta-sts.servfail.test")

	notAPolicyFile := trouble{mtasts.ResultPolicyFetchError, "not-a-policy-file", false}
	for domain, want := range map[string]struct {
		trouble
		text string // in the error
	}{
		"norecord.test":   {trouble{"", "no-txt-record", false}, "no such host"},
		"tworecords.test": {trouble{"", mtasts.ReasonRecordsMany, false}, "more than one"},
		"servfail.test":   {trouble{"", "dns-failure", true}, "server misbehaving"},
		"status404.test":  {notAPolicyFile, "status is 404"},
		"status500.test":  {notAPolicyFile, "status is 500"},
		"redirect.test":   {notAPolicyFile, "status is 301"},
		"html.test":       {notAPolicyFile, "media type is \"text/html\""},
		"large.test":      {notAPolicyFile, "bytes"}, // more than a file may have, or more than may come over the wire
		"bomb.test":       {notAPolicyFile, "longer than 65536 bytes"},
		"invalid.test":    {trouble{mtasts.ResultPolicyInvalid, "policy-invalid", false}, "<html>"},
		"stopped.test":    {trouble{mtasts.ResultPolicyFetchError, "connect-failed", false}, "connection refused"},
		"expired.test":    {trouble{mtasts.ResultWebPKIInvalid, "certificate-expired", false}, "expired"},
		"unknown.test":    {trouble{mtasts.ResultWebPKIInvalid, "unknown-authority", false}, "unknown authority"},
		"misnamed.test":   {trouble{mtasts.ResultWebPKIInvalid, "certificate-host-mismatch", false}, "mta-sts.attacker.test"},
		"example.edu":     {trouble{mtasts.ResultWebPKIInvalid, "certificate-host-mismatch", false}, "mta-sts.example.net"},
	} {
		t.Run(domain, func(t *testing.T) {
			p, err := client.PolicyFor(t.Context(), domain)
			if err != nil || p.Mode != mtasts.ModeNone || p.Text != "" {
				t.Fatalf("%+v, %v, want mode none", p, err)
			}
			if got := troubleOf(t, domain, p.Cause); got != want.trouble {
				t.Errorf("cause %+v, want %+v: %v", got, want.trouble, p.Cause)
			}
			if !strings.Contains(p.Cause.Error(), want.text) {
				t.Errorf("%q does not contain %q", p.Cause, want.text)
			}
			if _, err := p.CheckMX("mx.attacker.test"); err != nil {
				t.Errorf("without a policy: %v", err)
			}
		})
	}
}

func TestRecheck(t *testing.T) {
	w := newWorld(t)
	const domain = "rechecked.test"
	db := filepath.Join(t.TempDir(), "policies.db")
	enforced := policy("enforce", 604800, "mx.victims.test")
	answers := func(t *testing.T, ask func(context.Context, string) (*mtasts.Policy, error), id string) {
		t.Helper()
		p, err := ask(t.Context(), domain)
		if err != nil || p.Mode != mtasts.ModeEnforce || p.ID != id {
			t.Fatalf("%+v, %v, want mode enforce under the id %s", p, err, id)
		}
	}

	client := w.open(t, db, w.dns.addr, 0)
	answers(t, client.PolicyFor, "1")
	w.publish(t, domain, "2", enforced)
	answers(t, client.PolicyFor, "1") // checked less than five minutes ago
	answers(t, client.Recheck, "2")
	answers(t, client.PolicyFor, "2")
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}

	// A new client answers from the store at once, and checks in the background.
	w.publish(t, domain, "3", enforced)
	client = w.open(t, db, w.dns.addr, time.Nanosecond)
	answers(t, client.PolicyFor, "2")
	eventually(t, "the new policy is in place", func() error {
		p, err := client.PolicyFor(t.Context(), domain)
		if err == nil && p.ID != "3" {
			err = errors.New("id " + p.ID)
		}
		return err
	})

	// A check that fails changes neither the store nor the answers of a running client.
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	client = w.open(t, db, w.dns.addr, 0)
	t.Run("no TXT record", func(t *testing.T) {
		w.dns.replace(t, "_mta-sts."+domain, "TXT")
		answers(t, client.Recheck, "3")
		answers(t, client.PolicyFor, "3")
	})
	t.Run("a new id, but no policy", func(t *testing.T) {
		w.dns.replace(t, "_mta-sts."+domain, "TXT", txt("v=STSv1; id=4;"))
		w.dns.replace(t, "mta-sts."+domain, "A", w.broken["status404"])
		_, err := client.Recheck(t.Context(), domain)
		if got, want := troubleOf(t, domain, err), (trouble{mtasts.ResultPolicyFetchError, "not-a-policy-file", false}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		answers(t, client.PolicyFor, "3")
	})
	t.Run("SERVFAIL", func(t *testing.T) {
		w.dns.replace(t, "_mta-sts."+domain, "TXT")
		w.dns.replace(t, "_mta-sts."+domain, "CNAME", "_mta-sts."+domain)
		_, err := client.Recheck(t.Context(), domain)
		if got, want := troubleOf(t, domain, err), (trouble{"", "dns-failure", true}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		answers(t, client.PolicyFor, "3")
	})
}

// Without DNS there are no MX hosts, so that a delivery would show nothing. This test asks
// the library for its answer, and expects it at once.
func TestCachedPolicyNeedsNoDNS(t *testing.T) {
	w := newWorld(t)
	const domain = "offline.test"
	s := w.sender(t)
	s.send(t, "before@"+domain).delivered(t, "mx.victims.test", "TLSv1.3")

	// soon is far less than the time-out of a look-up.
	soon := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	answers := func(t *testing.T, dns string) *mtasts.Client {
		t.Helper()
		client := w.open(t, s.db, dns, 0)
		p, err := client.PolicyFor(soon(t), domain)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.CheckMX("mx.victims.test"); err != nil {
			t.Error(err)
		}
		_, err = p.CheckMX("mx.attacker.test")
		want := trouble{mtasts.ResultValidationFailure, "mx-not-listed", false}
		if !errors.Is(err, mtasts.ErrNotListed) || troubleOf(t, domain, err) != want {
			t.Errorf("another host: %v, want ErrNotListed", err)
		}
		return client
	}

	t.Run("no answer", func(t *testing.T) {
		client := answers(t, w.intruder(t, 61, dropped))
		// This domain may have a policy. A time-out of the caller is not an answer.
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		p, err := client.PolicyFor(ctx, "moved.test")
		if !errors.Is(err, context.DeadlineExceeded) || !troubleOf(t, "moved.test", err).temporary {
			t.Errorf("a domain that is not cached: %+v, %v, want a temporary error", p, err)
		}
	})
	t.Run("no server", func(t *testing.T) {
		w.dns.stop(t)
		client := answers(t, w.dns.addr)
		p, err := client.PolicyFor(t.Context(), "moved.test")
		if err != nil || p.Mode != mtasts.ModeNone || !troubleOf(t, "moved.test", p.Cause).temporary {
			t.Errorf("a domain that is not cached: %+v, %v, want mode none because of a temporary error", p, err)
		}
		if p, err := client.Recheck(t.Context(), domain); err == nil || !troubleOf(t, domain, err).temporary {
			t.Errorf("Recheck: %+v, %v, want a temporary error", p, err)
		}
	})
	t.Run("a message is deferred until the server is back", func(t *testing.T) {
		s.send(t, "meanwhile@"+domain).deferred(t)
		w.dns.start(t)
		s.send(t, "afterwards@"+domain).delivered(t, "mx.victims.test", "TLSv1.3")
	})
}
