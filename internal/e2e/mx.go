//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// mxHosts sets up MX hosts with one fault or peculiarity each. The domain
// LABEL.example has mx.LABEL.example as its MX and a policy in mode enforce
// that names it; but for the fault all is in order.
func (s *setup) mxHosts() {
	var records []string
	add := func(label string, more ...string) {
		domain := label + ".example"
		s.receives(domain)
		s.site(vhost{
			names: []string{"mta-sts." + domain},
			certs: []string{s.file(testpki.Must(s.ca.Issue("mta-sts." + domain)))},
			https: []string{fmt.Sprintf("root %s;", s.files(domain))},
		})
		s.policyFile(domain, domain, policy("enforce", 604800, "mx."+domain))
		records = append(records,
			"mta-sts."+label+" A "+s.addr(80),
			"_mta-sts."+label+` TXT "v=STSv1; id=1;"`)
		records = append(records, more...)
	}
	name := func(label string) string { return "mx." + label + ".example" }
	one := func(label string, cert tls.Certificate, opts ...string) {
		addr := s.mx(name(label), cert, opts...)
		add(label, label+" MX 10 mx."+label, "mx."+label+" A "+addr)
	}
	good := func(label string) tls.Certificate { return testpki.Must(s.ca.Issue(name(label))) }

	one("plain", good("plain"), "smtpd_tls_security_level=none")
	// Without a certificate that it can read, Postfix lists STARTTLS and then
	// answers the command with 454.
	one("refusing", good("refusing"), "smtpd_tls_chain_files=", "smtpd_tls_cert_file=/nonexistent/cert.pem")
	// OpenSSL 3 speaks TLS 1.1 only at security level 0.
	one("tls11", good("tls11"), "smtpd_tls_protocols=TLSv1.1", "tls_medium_cipherlist=ALL:@SECLEVEL=0")
	one("untrusted", testpki.Must(s.unknown.Issue(name("untrusted"))))
	one("expired", testpki.Must(s.ca.IssueExpired(name("expired"))))
	one("misnamed", testpki.Must(s.ca.Issue("mx.elsewhere.example")))

	s.listen(name("ipv6"), "::1", good("ipv6"))
	add("ipv6", "ipv6 MX 10 mx.ipv6", "mx.ipv6 AAAA ::1")

	// The preferred MX host is sound in itself, but not in the policy.
	stray := s.mx("stray.two.example", testpki.Must(s.ca.Issue("stray.two.example")))
	listed := s.mx(name("two"), good("two"))
	add("two",
		"two MX 10 stray.two", "stray.two A "+stray,
		"two MX 20 mx.two", "mx.two A "+listed)

	s.zone("example", records...)
}
