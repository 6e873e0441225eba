//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestHarness_DNSChanges(t *testing.T) {
	w := newWorld(t)

	t.Run("a publisher changes the policy", func(t *testing.T) {
		enforced := policy("enforce", 604800, "talon.nmrc.org")
		w.publish(t, "nmrc.org", "20240801000000", enforced)
		if got := w.record(t, "_mta-sts.nmrc.org"); got != "v=STSv1; id=20240801000000;" {
			t.Errorf("TXT record %q", got)
		}
		if _, got := w.policyOf(t, "nmrc.org"); got != enforced {
			t.Errorf("policy %q", got)
		}
	})

	lookup := func(t *testing.T, name string) *net.DNSError {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		txts, err := w.dns.resolver().LookupTXT(ctx, name+".")
		var failure *net.DNSError
		if !errors.As(err, &failure) {
			t.Fatalf("%s: %q, %v, want a *net.DNSError", name, txts, err)
		}
		return failure
	}

	t.Run("a record vanishes", func(t *testing.T) {
		w.dns.replace(t, "_mta-sts.plain.example", "TXT")
		if err := lookup(t, "_mta-sts.plain.example"); !err.IsNotFound {
			t.Errorf("%+v, want not found", err)
		}
	})
	t.Run("two records", func(t *testing.T) {
		w.dns.replace(t, "_mta-sts.two.example", "TXT", txt("v=STSv1; id=1;"), txt("v=STSv1; id=2;"))
		if got := w.record(t, "_mta-sts.two.example"); !strings.Contains(got, " | ") {
			t.Errorf("%q, want two records", got)
		}
	})
	t.Run("several strings in a record, and an answer too long for UDP", func(t *testing.T) {
		long := strings.Repeat("x", 200)
		w.dns.replace(t, "_mta-sts.two.example", "TXT", txt("v=STSv1; ")+" "+txt("id=1;"))
		if got := w.record(t, "_mta-sts.two.example"); got != "v=STSv1; id=1;" {
			t.Errorf("%q, want the strings joined", got)
		}
		var many []string
		for i := range 20 {
			many = append(many, txt(fmt.Sprintf("%d%s", i, long)))
		}
		w.dns.replace(t, "_mta-sts.two.example", "TXT", many...)
		if got := strings.Count(w.record(t, "_mta-sts.two.example"), long); got != 20 {
			t.Errorf("%d records, want 20", got)
		}
	})
	t.Run("SERVFAIL", func(t *testing.T) {
		w.dns.replace(t, "_mta-sts.ipv6.example", "TXT")
		w.dns.replace(t, "_mta-sts.ipv6.example", "CNAME", "_mta-sts.ipv6.example")
		if err := lookup(t, "_mta-sts.ipv6.example"); !err.IsTemporary || err.IsNotFound || err.IsTimeout {
			t.Errorf("%+v, want a temporary failure", err)
		}
	})
	t.Run("no server", func(t *testing.T) {
		w.dns.stop(t)
		if err := lookup(t, "_mta-sts.nmrc.org"); err.IsNotFound {
			t.Errorf("%+v, want a failure", err)
		}
	})
}
