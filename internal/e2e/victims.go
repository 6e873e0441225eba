//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// victims sets up the domains on which attacks and accidents are tried, and
// their attacker. LABEL.test enforces a policy that names mx.victims.test, and
// all is in order until a test changes it. mx.attacker.test takes mail for
// everyone and is sound in itself: it proves who it is, and has a policy of its
// own domain. Only the victim's policy stands between it and the mail.
func (s *setup) victims() {
	victims := s.mx("mx.victims.test", testpki.Must(s.ca.Issue("mx.victims.test")))
	attacker := s.mx("mx.attacker.test", testpki.Must(s.ca.Issue("mx.attacker.test")))
	records := []string{"mx.victims A " + victims, "mx.attacker A " + attacker}

	for _, label := range append(victimLabels(), "attacker") {
		domain := label + ".test"
		s.receives(domain)
		mx := "mx.victims.test"
		if label == "attacker" {
			mx = "mx.attacker.test"
		}
		s.policyFile("mta-sts."+domain, domain, policy("enforce", 604800, mx))
		records = append(records,
			fmt.Sprintf("%s MX 10 %s.", label, mx),
			fmt.Sprintf("mta-sts.%s A %s", label, s.addr(80)),
			fmt.Sprintf(`_mta-sts.%s TXT "v=STSv1; id=1;"`, label))
	}
	s.zone("test", records...)

	names := append(victimHosts(), "mta-sts.attacker.test")
	s.site(vhost{
		names: names,
		certs: []string{s.file(testpki.Must(s.ca.Issue(names...)))},
		https: []string{fmt.Sprintf("root %s;", s.files("$host"))},
	})
}

// victimLabels names each victim after what befalls it.
func victimLabels() []string {
	return append(brokenHostFaults(),
		"norecord", "tworecords", "servfail", "refused", "dropped", "offline",
		"several", "moved", "optout", "once", "brief", "rechecked")
}

func victimHosts() []string {
	var hosts []string
	for _, label := range victimLabels() {
		hosts = append(hosts, "mta-sts."+label+".test")
	}
	return hosts
}

func brokenHostFaults() []string {
	return []string{"status404", "status500", "redirect", "html", "large", "bomb", "invalid",
		"expired", "unknown", "misnamed", "stopped"}
}

// brokenHosts sets up web servers that answer for every victim and have one
// fault each. Otherwise they serve the attacker's policy, so that a sender that
// overlooks the fault takes its mail to the attacker. A victim's policy host
// breaks when its address becomes broken[fault].
func (s *setup) brokenHosts() {
	good := s.file(testpki.Must(s.ca.Issue(victimHosts()...)))
	theirs := policy("enforce", 604800, "mx.attacker.test")
	answer := func(status int, body string) string {
		return fmt.Sprintf(`return %d "%s";`, status, strings.ReplaceAll(body, "\n", `\n`))
	}
	serve := func(fault, cert string, directives ...string) {
		s.broken[fault] = s.addr(byte(200 + len(s.broken)))
		s.site(vhost{addr: s.broken[fault], names: []string{"_"}, certs: []string{cert}, https: directives})
	}
	serve("status404", good, answer(404, theirs))
	serve("status500", good, answer(500, theirs))
	serve("redirect", good, "return 301 https://mta-sts.attacker.test/.well-known/mta-sts.txt;")
	serve("html", good, "types { } default_type text/html;", answer(200, theirs))
	serve("invalid", good, answer(200, "<html><body>Coming soon</body></html>\n"))
	serve("expired", s.file(testpki.Must(s.ca.IssueExpired(victimHosts()...))), answer(200, theirs))
	serve("unknown", s.file(testpki.Must(s.unknown.Issue(victimHosts()...))), answer(200, theirs))
	serve("misnamed", s.file(testpki.Must(s.ca.Issue("mta-sts.attacker.test"))), answer(200, theirs))

	// Also what fits into 64 KiB of these is a policy.
	s.policyFile("large", "large", "version: STSv1\nmode: enforce\nmax_age: 604800\n"+strings.Repeat("mx: mx.attacker.test\n", 4000))
	serve("large", good, fmt.Sprintf("root %s;", s.files("large")))
	serve("bomb", good, fmt.Sprintf("root %s;", s.files("large")), "gzip on; gzip_types text/plain;")

	s.broken["stopped"] = s.addr(99) // where nothing listens
	for fault := range s.broken {
		if !slices.Contains(brokenHostFaults(), fault) {
			s.Fatalf("no victim for the fault %s", fault)
		}
	}
}
