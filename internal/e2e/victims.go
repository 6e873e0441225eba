//go:build e2e

package e2e

import (
	"fmt"
	"strings"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// victims sets up the domains that tests attack, and their attacker. LABEL.test enforces a
// policy that lists mx.victims.test, and all is in order until a test changes it.
// mx.attacker.test accepts mail for every domain. Its certificate is good, and its own
// domain has a policy: only the victim's policy keeps the mail from it.
func (s *setup) victims() {
	for _, host := range []string{"mx.victims.test", "mx.attacker.test"} {
		s.mx(host, s.cert(host))
	}
	for _, label := range []string{"norecord", "tworecords", "servfail", "refused", "dropped", "offline",
		"several", "moved", "optout", "once", "brief", "rechecked"} {
		s.enforces(label+".test", "mx.victims.test")
	}
	s.enforces("attacker.test", "mx.attacker.test")
	s.brokenHosts()
}

// brokenHosts sets up a victim for each fault of a policy host, and a web server with the
// fault, at the address broken[fault]. Otherwise it serves the attacker's policy: a sender
// that overlooks the fault sends its mail to the attacker. The victim's policy host breaks
// when it gets this address.
func (s *setup) brokenHosts() {
	theirs := policy("enforce", 604800, "mx.attacker.test")
	answer := func(status int, body string) string {
		return fmt.Sprintf(`return %d "%s";`, status, strings.ReplaceAll(body, "\n", `\n`))
	}
	host := func(fault string) string { return "mta-sts." + fault + ".test" }
	// Without certs the certificate is good.
	serve := func(fault, directives string, certs ...string) {
		s.enforces(fault+".test", "mx.victims.test")
		s.broken[fault] = s.addr(byte(200 + len(s.broken)))
		s.site(vhost{addr: s.broken[fault], names: []string{host(fault)}, certs: certs, directives: directives})
	}
	serve("status404", answer(404, theirs), s.cert(host("status404"), host("rechecked"))) // is used for both
	serve("status500", answer(500, theirs))
	serve("redirect", "return 301 https://mta-sts.attacker.test/.well-known/mta-sts.txt;")
	serve("html", "types { } default_type text/html; "+answer(200, theirs))
	serve("invalid", answer(200, "<html><body>Coming soon</body></html>\n"))
	serve("expired", answer(200, theirs), s.file(testpki.Must(s.ca.IssueExpired(host("expired")))))
	serve("unknown", answer(200, theirs), s.file(testpki.Must(s.unknown.Issue(host("unknown")))))
	serve("misnamed", answer(200, theirs), s.cert("mta-sts.attacker.test"))

	// The first 64 KiB of these, too, are a policy.
	write(s.T, s.policyFile("large"), "version: STSv1\nmode: enforce\nmax_age: 604800\n"+strings.Repeat("mx: mx.attacker.test\n", 4000))
	serve("large", "root www/mta-sts.large;")
	serve("bomb", "root www/mta-sts.large; gzip on; gzip_types text/plain;")

	s.enforces("stopped.test", "mx.victims.test")
	s.broken["stopped"] = s.addr(99) // where no server listens
}
