//go:build e2e

package e2e

import "github.com/mtasts/go-mtasts/internal/testpki"

// publishers sets up five ways in which policies are published today, as they were seen in
// public.
func (s *setup) publishers() {
	s.configuredText()
	s.separateWebHost()
	s.redirectingHost()
	s.delegatedDomains()
	s.staticPages()
}

// configuredText: naut.ca has the policy in nginx's own configuration, with CRLF lines and
// a wildcard pattern, and a delimiter at the end of its record.
func (s *setup) configuredText() {
	s.mx("mail.naut.ca", s.cert("mail.naut.ca"))
	s.domain("naut.ca", "mail.naut.ca", "v=STSv1; id=20160831085700Z;")
	s.zone("mta-sts.naut.ca A " + s.addr(webHost))
	s.site(vhost{
		names:      []string{"mta-sts.naut.ca"},
		directives: `location = /.well-known/mta-sts.txt { return 200 "version: STSv1\r\nmode: enforce\r\nmx: *.naut.ca\r\nmax_age: 604800\r\n"; }`,
	})
}

// separateWebHost: at nmrc.org, talon receives the mail and rigor-mortis serves the file,
// with one certificate for several names. Its TLS reporting record has a wrong name.
func (s *setup) separateWebHost() {
	const web = "rigor-mortis.nmrc.org"
	s.mx("talon.nmrc.org", s.cert("talon.nmrc.org"))
	s.domain("nmrc.org", "talon.nmrc.org", "v=STSv1; id=20240627092600;")
	s.zone(
		"nmrc.org A "+s.addr(webHost),
		web+" A "+s.addr(webHost),
		"www.nmrc.org CNAME "+web,
		"mta-sts.nmrc.org CNAME "+web,
		`_smtp_tls.nmrc.org TXT "v=TLSRPTv1; rua=mailto:tlsrpt@nmrc.org"`)
	s.site(vhost{names: []string{web, "nmrc.org", "www.nmrc.org", "mta-sts.nmrc.org"}})
	write(s.T, s.policyFile("nmrc.org"), policy("testing", 604800, "talon.nmrc.org"))
}

// redirectingHost: the policy host of nethence.com redirects all requests but those for
// /.well-known/, and has an RSA and an ECDSA certificate. Its record has no delimiter at the
// end. For the tests, it also stores the TLS reports that are posted to /tlsrpt.
func (s *setup) redirectingHost() {
	const web = "mta-sts.nethence.com"
	s.mx("xc.nethence.com", s.cert("xc.nethence.com"))
	s.domain("nethence.com", "xc.nethence.com", "v=STSv1; id=apr2021")
	s.zone(
		web+" A "+s.addr(webHost),
		`_smtp._tls.nethence.com TXT "v=TLSRPTv1; rua=mailto:tlsrpt@nethence.com"`)
	s.site(vhost{
		names: []string{web},
		certs: []string{s.file(testpki.Must(s.ca.IssueRSA(web))), s.cert(web)},
		directives: "location / { return 301 https://www.nethence.com/; } location /.well-known/ { } location = /accepted { return 201; }" +
			"location = /tlsrpt { client_body_in_file_only on; client_body_temp_path reports; proxy_set_header Host $host; proxy_pass https://" + s.addr(webHost) + "/accepted; }",
	})
	write(s.T, s.policyFile("nethence.com"), policy("testing", 86400, "xc.nethence.com"))
}

// delegatedDomains: example.org and example.com point every name of MTA-STS to
// example.net, whose host has one certificate for the three policy hosts. example.edu does
// the same, and the host serves it, but the certificate does not have its name.
func (s *setup) delegatedDomains() {
	const web, mx = "mta-sts.example.net", "mail.example.net"
	s.mx(mx, s.cert(mx))
	s.domain("example.net", mx, "v=STSv1; id=20230101000000;")
	s.zone(
		web+" A "+s.addr(webHost),
		`_smtp._tls.example.net TXT "v=TLSRPTv1; rua=mailto:tlsrpt@example.net"`)
	for _, domain := range []string{"example.org", "example.com", "example.edu"} {
		s.domain(domain, mx, "")
		for _, label := range []string{"_mta-sts.", "mta-sts.", "_smtp._tls."} {
			s.zone(label + domain + " CNAME " + label + "example.net")
		}
	}
	s.site(vhost{
		names:      []string{web, "mta-sts.example.org", "mta-sts.example.com", "mta-sts.example.edu"},
		certs:      []string{s.cert(web, "mta-sts.example.org", "mta-sts.example.com")},
		directives: "root www/" + web + ";",
	})
	write(s.T, s.policyFile("example.net"), policy("enforce", 604800, mx))
}

// staticPages: pages.example has its policy on GitHub Pages and its mail with a large
// provider, whose MX matches a wildcard in the policy and in the certificate.
func (s *setup) staticPages() {
	const web, mx = "mta-sts.pages.example", "pages-example.j-v1.mx.microsoft"
	s.mx(mx, s.cert("*.j-v1.mx.microsoft"))
	s.domain("pages.example", mx, "v=STSv1; id=20240728")
	s.zone("octocat.github.io A "+s.addr(webHost), web+" CNAME octocat.github.io")
	s.site(vhost{
		names: []string{web},
		directives: `charset utf-8;
gzip on; gzip_types text/plain; gzip_min_length 1; gzip_vary on;
add_header Cache-Control "max-age=600";
add_header Strict-Transport-Security "max-age=31556952";`,
	})
	write(s.T, s.policyFile("pages.example"), policy("testing", 604800, "pages-example.mail.protection.outlook.com", "*.j-v1.mx.microsoft"))
}
