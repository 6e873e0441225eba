//go:build e2e

package e2e

import "github.com/mtasts/go-mtasts/internal/testpki"

// mxHosts sets up MX hosts with one fault or peculiarity each. The domain LABEL.example has
// the MX host mx.LABEL.example and a policy in mode enforce that lists it. All else is in
// order.
func (s *setup) mxHosts() {
	one := func(label, cert string, opts ...string) {
		s.mx("mx."+label+".example", cert, opts...)
		s.enforces(label+".example", "mx."+label+".example")
	}
	one("plain", s.cert("mx.plain.example"), "smtpd_tls_security_level=none")
	// Without a certificate that it can read, Postfix lists STARTTLS and then answers the
	// command with 454.
	one("refusing", "", "smtpd_tls_cert_file=/nonexistent/cert.pem")
	// OpenSSL 3 has TLS 1.1 only at security level 0.
	one("tls11", s.cert("mx.tls11.example"), "smtpd_tls_protocols=TLSv1.1", "tls_medium_cipherlist=ALL:@SECLEVEL=0")
	one("untrusted", s.file(testpki.Must(s.unknown.Issue("mx.untrusted.example"))))
	one("expired", s.file(testpki.Must(s.ca.IssueExpired("mx.expired.example"))))
	one("misnamed", s.cert("mx.elsewhere.example"))

	s.listen("mx.ipv6.example", "::1", s.cert("mx.ipv6.example"))
	s.zone("mx.ipv6.example AAAA ::1")
	s.enforces("ipv6.example", "mx.ipv6.example")

	// The preferred MX host has a good certificate, but the policy does not list it.
	one("two", s.cert("mx.two.example"))
	s.mx("stray.two.example", s.cert("stray.two.example"))
	s.zone("two.example MX 5 stray.two.example")
}
