//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/textproto"
	"testing"
)

func TestHarness_MXHosts(t *testing.T) {
	w := newWorld(t)

	t.Run("policies", func(t *testing.T) {
		for _, label := range []string{"plain", "refusing", "tls11", "untrusted", "expired", "misnamed", "ipv6", "two"} {
			domain := label + ".example"
			if got := w.record(t, "_mta-sts."+domain); got != "v=STSv1; id=1;" {
				t.Errorf("%s: TXT record %q", domain, got)
			}
			if resp, body := w.policyOf(t, domain); resp.StatusCode != 200 || body != policy("enforce", 604800, "mx."+domain) {
				t.Errorf("%s: status %d, policy %q", domain, resp.StatusCode, body)
			}
		}
	})

	t.Run("no STARTTLS", func(t *testing.T) {
		c := w.dial(t, "mx.plain.example")
		if ok, _ := c.Extension("STARTTLS"); ok {
			t.Error("STARTTLS is offered")
		}
		if err := submit(c, "someone@plain.example"); err != nil {
			t.Fatal(err)
		}
		if got := w.mta.mailbox(t, "someone@plain.example"); len(got) != 1 || got[0].tls != "" || got[0].by != "mx.plain.example" {
			t.Errorf("mailbox: %+v, want one message without TLS", got)
		}
	})

	t.Run("STARTTLS refused", func(t *testing.T) {
		c := w.dial(t, "mx.refusing.example")
		if ok, _ := c.Extension("STARTTLS"); !ok {
			t.Error("STARTTLS is not offered")
		}
		var reply *textproto.Error
		if err := w.startTLS(c, "mx.refusing.example", &tls.Config{}); !errors.As(err, &reply) || reply.Code != 454 {
			t.Errorf("STARTTLS: %v, want 454", err)
		}
		// The session goes on: a sender that only noted the error would
		// deliver without TLS.
		if err := submit(c, "someone@refusing.example"); err != nil {
			t.Fatal(err)
		}
		if got := w.mta.mailbox(t, "someone@refusing.example"); len(got) != 1 || got[0].tls != "" {
			t.Errorf("mailbox: %+v, want one message without TLS", got)
		}
	})

	t.Run("TLS 1.1 only", func(t *testing.T) {
		const host = "mx.tls11.example"
		if err := w.startTLS(w.dial(t, host), host, &tls.Config{MinVersion: tls.VersionTLS12}); err == nil {
			t.Error("a handshake for TLS 1.2 and above succeeded")
		}
		c := w.dial(t, host)
		if err := w.startTLS(c, host, &tls.Config{MinVersion: tls.VersionTLS11}); err != nil {
			t.Fatal(err)
		}
		if err := submit(c, "someone@tls11.example"); err != nil {
			t.Fatal(err)
		}
		if got := w.mta.mailbox(t, "someone@tls11.example"); len(got) != 1 || got[0].tls != "TLSv1.1" {
			t.Errorf("mailbox: %+v, want one message over TLSv1.1", got)
		}
	})

	t.Run("certificates", func(t *testing.T) {
		var invalid x509.CertificateInvalidError
		var authority x509.UnknownAuthorityError
		var mismatch x509.HostnameError
		for label, want := range map[string]any{"expired": &invalid, "untrusted": &authority, "misnamed": &mismatch} {
			host := "mx." + label + ".example"
			if err := w.startTLS(w.dial(t, host), host, &tls.Config{}); !errors.As(err, want) {
				t.Errorf("%s: %v, want a %T", host, err, want)
			}
			// Nothing else is wrong with them.
			c := w.dial(t, host)
			if err := w.startTLS(c, host, &tls.Config{InsecureSkipVerify: true}); err != nil {
				t.Fatal(err)
			}
			if err := submit(c, "someone@"+label+".example"); err != nil {
				t.Fatal(err)
			}
			if got := w.mta.mailbox(t, "someone@"+label+".example"); len(got) != 1 || got[0].tls != "TLSv1.3" {
				t.Errorf("%s: mailbox %+v, want one message over TLSv1.3", host, got)
			}
		}
		if invalid.Reason != x509.Expired {
			t.Errorf("expired: reason %v", invalid.Reason)
		}
	})

	t.Run("IPv6", func(t *testing.T) {
		const host = "mx.ipv6.example"
		ips, err := w.dns.resolver().LookupNetIP(t.Context(), "ip", host+".")
		if err != nil || len(ips) != 1 || ips[0].String() != "::1" {
			t.Fatalf("addresses %v, %v, want ::1", ips, err)
		}
		c := w.dial(t, host)
		if err := w.startTLS(c, host, &tls.Config{}); err != nil {
			t.Fatal(err)
		}
		if err := submit(c, "someone@ipv6.example"); err != nil {
			t.Fatal(err)
		}
		if got := w.mta.mailbox(t, "someone@ipv6.example"); len(got) != 1 || got[0].by != host || got[0].tls != "TLSv1.3" {
			t.Errorf("mailbox: %+v, want one message over TLSv1.3", got)
		}
	})

	t.Run("two MX hosts", func(t *testing.T) {
		mxs, err := w.dns.resolver().LookupMX(t.Context(), "two.example.")
		if err != nil || len(mxs) != 2 || mxs[0].Host != "stray.two.example." || mxs[1].Host != "mx.two.example." {
			t.Fatalf("MX %v, %v", mxs, err)
		}
		for _, host := range []string{"stray.two.example", "mx.two.example"} {
			if err := w.startTLS(w.dial(t, host), host, &tls.Config{}); err != nil {
				t.Errorf("%s: %v", host, err)
			}
		}
	})

	t.Run("no relaying", func(t *testing.T) {
		if err := submit(w.dial(t, "mx.plain.example"), "someone@unknown.example"); err == nil {
			t.Error("Postfix took a message for a domain that is not its own")
		}
	})
}
