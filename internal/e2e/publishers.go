//go:build e2e

package e2e

import (
	"fmt"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// publishers sets up five ways in which policies are published today, as they
// were seen in public.
func (s *setup) publishers() {
	s.configuredText()
	s.separateWebHost()
	s.redirectingHost()
	s.delegatedDomains()
	s.staticPages()
}

// configuredText: naut.ca has the policy in nginx's own configuration, with
// CRLF lines and a wildcard pattern, and a delimiter at the end of its record.
func (s *setup) configuredText() {
	mx := s.mx("mail.naut.ca", testpki.Must(s.ca.Issue("mail.naut.ca")))
	s.receives("naut.ca")
	s.zone("naut.ca",
		"@ MX 10 mail",
		"mail A "+mx,
		"mta-sts A "+s.addr(80),
		`_mta-sts TXT "v=STSv1; id=20160831085700Z;"`)
	s.site(vhost{
		names: []string{"mta-sts.naut.ca"},
		certs: []string{s.file(testpki.Must(s.ca.Issue("mta-sts.naut.ca")))},
		https: []string{`location = /.well-known/mta-sts.txt { return 200 "version: STSv1\r\nmode: enforce\r\nmx: *.naut.ca\r\nmax_age: 604800\r\n"; }`},
	})
}

// separateWebHost: at nmrc.org, talon receives the mail and rigor-mortis
// serves the file, with one certificate for several names. Its TLS reporting
// record stands under a wrong name.
func (s *setup) separateWebHost() {
	const web = "rigor-mortis.nmrc.org"
	mx := s.mx("talon.nmrc.org", testpki.Must(s.ca.Issue("talon.nmrc.org")))
	s.receives("nmrc.org")
	s.zone("nmrc.org",
		"@ MX 10 talon",
		"@ A "+s.addr(80),
		"talon A "+mx,
		"rigor-mortis A "+s.addr(80),
		"www CNAME rigor-mortis",
		"mta-sts CNAME rigor-mortis",
		`_mta-sts TXT "v=STSv1; id=20240627092600;"`,
		`_smtp_tls TXT "v=TLSRPTv1; rua=mailto:tlsrpt@nmrc.org"`)
	names := []string{web, "nmrc.org", "www.nmrc.org", "mta-sts.nmrc.org"}
	s.site(vhost{
		names: names,
		certs: []string{s.file(testpki.Must(s.ca.Issue(names...)))},
		https: []string{fmt.Sprintf("root %s;", s.files(web))},
	})
	s.policyFile(web, "nmrc.org", policy("testing", 604800, "talon.nmrc.org"))
}

// redirectingHost: the policy host of nethence.com sends everything elsewhere
// but what is below /.well-known/, and has an RSA and an ECDSA certificate.
// There is no delimiter at the end of its record.
func (s *setup) redirectingHost() {
	const web = "mta-sts.nethence.com"
	mx := s.mx("xc.nethence.com", testpki.Must(s.ca.Issue("xc.nethence.com")))
	s.receives("nethence.com")
	s.zone("nethence.com",
		"@ MX 10 xc",
		"xc A "+mx,
		"mta-sts A "+s.addr(80),
		`_mta-sts TXT "v=STSv1; id=apr2021"`,
		`_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tlsrpt@nethence.com"`)
	s.site(vhost{
		names: []string{web},
		certs: []string{
			s.file(testpki.Must(s.ca.IssueRSA(web))),
			s.file(testpki.Must(s.ca.Issue(web))),
		},
		https: []string{
			"location / { return 301 https://www.nethence.com/; }",
			fmt.Sprintf("location /.well-known/ { root %s; }", s.files(web)),
		},
		http: []string{"return 301 https://$host$request_uri;"},
	})
	s.policyFile(web, "nethence.com", policy("testing", 86400, "xc.nethence.com"))
}

// delegatedDomains: example.org and example.com point every name of MTA-STS
// to example.net, whose host has one certificate for the three policy hosts.
// The records are made one by one with pdnsutil. example.edu does the same, and
// the host serves it, but nobody has put it into the certificate.
func (s *setup) delegatedDomains() {
	mx := s.mx("mail.example.net", testpki.Must(s.ca.Issue("mail.example.net")))
	const web = "mta-sts.example.net"
	certified := []string{web, "mta-sts.example.org", "mta-sts.example.com"}
	names := append(certified, "mta-sts.example.edu")
	add := s.dns.add
	for _, zone := range []string{"example.net", "example.org", "example.com", "example.edu"} {
		s.receives(zone)
		s.zone(zone)
		add(s.T, zone, "@", "MX", "10 mail.example.net")
		if zone == "example.net" {
			add(s.T, zone, "mail", "A", mx)
			add(s.T, zone, "mta-sts", "A", s.addr(80))
			add(s.T, zone, "_mta-sts", "TXT", `"v=STSv1; id=20230101000000;"`)
			add(s.T, zone, "_smtp._tls", "TXT", `"v=TLSRPTv1; rua=mailto:tlsrpt@example.net"`)
			continue
		}
		for _, name := range []string{"_mta-sts", "mta-sts", "_smtp._tls"} {
			add(s.T, zone, name, "CNAME", name+".example.net")
		}
	}
	s.site(vhost{
		names: names,
		certs: []string{s.file(testpki.Must(s.ca.Issue(certified...)))},
		https: []string{fmt.Sprintf("root %s;", s.files(web))},
	})
	s.policyFile(web, "example.net", policy("enforce", 604800, "mail.example.net"))
}

// staticPages: pages.example has its policy on GitHub Pages and its mail with
// a large provider, whose MX is covered by a wildcard in the policy and in the
// certificate.
func (s *setup) staticPages() {
	const web = "mta-sts.pages.example"
	mx := s.mx("pages-example.j-v1.mx.microsoft", testpki.Must(s.ca.Issue("*.j-v1.mx.microsoft")))
	s.receives("pages.example")
	s.zone("mx.microsoft", "pages-example.j-v1 A "+mx)
	s.zone("github.io", "octocat A "+s.addr(80))
	s.zone("pages.example",
		"@ MX 0 pages-example.j-v1.mx.microsoft.",
		"mta-sts CNAME octocat.github.io.",
		`_mta-sts TXT "v=STSv1; id=20240728"`)
	s.site(vhost{
		names: []string{web},
		certs: []string{s.file(testpki.Must(s.ca.Issue(web)))},
		https: []string{
			fmt.Sprintf("root %s;", s.files(web)),
			"charset utf-8;",
			"gzip on; gzip_types text/plain; gzip_min_length 1; gzip_vary on;",
			`add_header Cache-Control "max-age=600";`,
			`add_header Strict-Transport-Security "max-age=31556952";`,
			`add_header Access-Control-Allow-Origin "*";`,
		},
		http: []string{"return 301 https://$host$request_uri;"},
	})
	s.policyFile(web, "pages.example", policy("testing", 604800, "pages-example.mail.protection.outlook.com", "*.j-v1.mx.microsoft"))
}
