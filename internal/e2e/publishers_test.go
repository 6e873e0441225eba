//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

func TestHarness_Publishers(t *testing.T) {
	w := newWorld(t)
	for _, p := range []struct{ domain, record, mx, policy string }{
		{"naut.ca", "v=STSv1; id=20160831085700Z;", "mail.naut.ca.",
			"version: STSv1\r\nmode: enforce\r\nmx: *.naut.ca\r\nmax_age: 604800\r\n"},
		{"nmrc.org", "v=STSv1; id=20240627092600;", "talon.nmrc.org.",
			"version: STSv1\nmode: testing\nmx: talon.nmrc.org\nmax_age: 604800\n"},
		{"nethence.com", "v=STSv1; id=apr2021", "xc.nethence.com.",
			"version: STSv1\nmode: testing\nmx: xc.nethence.com\nmax_age: 86400\n"},
		{"example.net", "v=STSv1; id=20230101000000;", "mail.example.net.",
			"version: STSv1\nmode: enforce\nmx: mail.example.net\nmax_age: 604800\n"},
		{"example.org", "v=STSv1; id=20230101000000;", "mail.example.net.",
			"version: STSv1\nmode: enforce\nmx: mail.example.net\nmax_age: 604800\n"},
		{"example.com", "v=STSv1; id=20230101000000;", "mail.example.net.",
			"version: STSv1\nmode: enforce\nmx: mail.example.net\nmax_age: 604800\n"},
		{"pages.example", "v=STSv1; id=20240728", "pages-example.j-v1.mx.microsoft.",
			"version: STSv1\nmode: testing\nmx: pages-example.mail.protection.outlook.com\nmx: *.j-v1.mx.microsoft\nmax_age: 604800\n"},
	} {
		t.Run(p.domain, func(t *testing.T) {
			if got := w.record(t, "_mta-sts."+p.domain); got != p.record {
				t.Errorf("TXT record %q, want %q", got, p.record)
			}
			resp, body := w.policyOf(t, p.domain)
			if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") || body != p.policy {
				t.Errorf("status %d, type %q, policy %q, want 200, text/plain, %q",
					resp.StatusCode, resp.Header.Get("Content-Type"), body, p.policy)
			}
			mxs, err := w.dns.resolver().LookupMX(t.Context(), p.domain+".")
			if err != nil || len(mxs) != 1 || mxs[0].Host != p.mx {
				t.Fatalf("MX %v, %v, want %s", mxs, err, p.mx)
			}
			host := strings.TrimSuffix(p.mx, ".")
			c := w.dial(t, host)
			if err := w.startTLS(c, host, &tls.Config{}); err != nil {
				t.Fatal(err)
			}
			if err := submit(c, "someone@"+p.domain); err != nil {
				t.Fatal(err)
			}
			got := w.mta.mailbox(t, "someone@"+p.domain)
			if len(got) != 1 || got[0].by != host || got[0].tls != "TLSv1.3" {
				t.Errorf("mailbox: %+v, want one message by %s over TLSv1.3", got, host)
			}
			if got := w.mta.mailbox(t, "someone.else@"+p.domain); got != nil {
				t.Errorf("another mailbox: %+v, want none", got)
			}
		})
	}

	t.Run("reporting records", func(t *testing.T) {
		if got := w.record(t, "_smtp._tls.example.org"); got != "v=TLSRPTv1; rua=mailto:tlsrpt@example.net" {
			t.Errorf("example.org: %q", got)
		}
		if got := w.record(t, "_smtp_tls.nmrc.org"); !strings.HasPrefix(got, "v=TLSRPTv1;") {
			t.Errorf("nmrc.org, under its wrong name: %q", got)
		}
		var none *net.DNSError
		if _, err := w.dns.resolver().LookupTXT(t.Context(), "_smtp._tls.nmrc.org."); !errors.As(err, &none) || !none.IsNotFound {
			t.Errorf("nmrc.org, under the right name: %v, want not found", err)
		}
	})

	t.Run("one certificate for three policy hosts", func(t *testing.T) {
		resp, _ := w.policyOf(t, "example.com")
		if got := resp.TLS.PeerCertificates[0].DNSNames; !slices.Contains(got, "mta-sts.example.net") || !slices.Contains(got, "mta-sts.example.com") {
			t.Errorf("names in the certificate: %q", got)
		}
	})

	t.Run("RSA and ECDSA", func(t *testing.T) {
		for suite, want := range map[uint16]x509.PublicKeyAlgorithm{
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:   x509.RSA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: x509.ECDSA,
		} {
			resp, _ := w.get(t, "https://mta-sts.nethence.com/.well-known/mta-sts.txt",
				&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
			if got := resp.TLS.PeerCertificates[0].PublicKeyAlgorithm; got != want {
				t.Errorf("certificate with a key of %v, want %v", got, want)
			}
		}
	})

	t.Run("redirects beside the policy", func(t *testing.T) {
		if resp, _ := w.get(t, "https://mta-sts.nethence.com/", nil); resp.StatusCode != 301 {
			t.Errorf("status %d, want 301", resp.StatusCode)
		}
	})

	t.Run("static pages", func(t *testing.T) {
		resp, _ := w.get(t, "https://mta-sts.pages.example/.well-known/mta-sts.txt", nil, "Accept-Encoding", "gzip")
		for field, want := range map[string]string{
			"Content-Encoding":          "gzip",
			"Content-Type":              "text/plain; charset=utf-8",
			"Cache-Control":             "max-age=600",
			"Strict-Transport-Security": "max-age=31556952",
		} {
			if got := resp.Header.Get(field); got != want {
				t.Errorf("%s: %q, want %q", field, got, want)
			}
		}
		if resp.ProtoMajor != 2 {
			t.Errorf("protocol %s, want HTTP/2", resp.Proto)
		}
	})

	t.Run("SNI is needed", func(t *testing.T) {
		conn, err := tls.Dial("tcp", w.addr(webHost)+":443", &tls.Config{RootCAs: w.ca.Pool(), ServerName: "mta-sts.elsewhere.example"})
		var mismatch x509.HostnameError
		if !errors.As(err, &mismatch) || mismatch.Certificate.DNSNames[0] != "fallback.example" {
			t.Errorf("%v, %v, want the certificate of fallback.example", conn, err)
		}
	})
}
