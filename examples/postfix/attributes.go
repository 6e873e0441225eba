package main

import (
	"slices"
	"strings"

	"github.com/mtasts/go-mtasts/mtasts"
)

// maxReply is the longest reply that Postfix accepts (socketmap_table(5)).
const maxReply = 100_000

// nothingListed stands in match= when no MX host of the domain is listed in the policy. No
// authority issues a certificate for it (RFC 6761, Section 6.4), and an empty match= would
// be a configuration error.
const nothingListed = "no-mx-host-is-listed.invalid"

// appendSecure appends the policy "secure" for Postfix 3.4 and later. hosts are the MX hosts of
// the domain; only a policy with a wildcard needs them.
//
// RFC 8461, Section 4.1: a wildcard stands for one label. Postfix has no such pattern:
// ".example.com" matches names of any depth. So the MX hosts that the wildcard covers are
// named one by one.
func appendSecure(b []byte, p *mtasts.Policy, hosts []string) []byte {
	b = append(b, "OK secure match="...)
	begin := len(b)
	b = appendHosts(b, begin, p.MX)
	if hasWildcard(p) {
		more := slices.DeleteFunc(listed(p, hosts), func(host string) bool { return slices.Contains(p.MX, host) })
		b = appendHosts(b, begin, more)
	}
	if len(b) == begin {
		b = append(b, nothingListed...)
	}
	return append(b, " servername=hostname"...)
}

// appendHosts appends the names that can stand in match=, whose value begins at begin.
func appendHosts(b []byte, begin int, names []string) []byte {
	for _, name := range names {
		if isHost(name) {
			if len(b) > begin {
				b = append(b, ':')
			}
			b = append(b, name...)
		}
	}
	return b
}

// listed returns the hosts that an mx pattern of p matches, in the form of the policy.
func listed(p *mtasts.Policy, hosts []string) []string {
	var found []string
	// A literal reports nothing: the outcome of the session is Postfix's.
	literal := &mtasts.Policy{Domain: p.Domain, Mode: mtasts.ModeTesting, MX: p.MX}
	for _, name := range hosts {
		host, err := literal.CheckMX(name)
		if err == nil && host.Listed && !slices.Contains(found, host.Name) {
			found = append(found, host.Name)
		}
	}
	return found
}

// without returns a policy for match= that does not name the hosts.
func without(p *mtasts.Policy, hosts []string) *mtasts.Policy {
	omit := listed(p, hosts)
	mx := slices.DeleteFunc(slices.Clone(p.MX), func(pattern string) bool { return slices.Contains(omit, pattern) })
	return &mtasts.Policy{Domain: p.Domain, Mode: p.Mode, MX: mx}
}

// hasWildcard reports whether a pattern of p covers hosts that it does not name.
func hasWildcard(p *mtasts.Policy) bool {
	for _, pattern := range p.MX {
		if strings.HasPrefix(pattern, "*.") {
			return true
		}
	}
	return false
}

// appendReport appends to the reply b what Postfix 3.10 and later puts into TLSRPT reports, and what
// smtp_tls_enforce_sts_mx_patterns of 3.10.5 compares MX hosts with. Before 3.10 Postfix
// defers all mail of a domain with these attributes.
//
// What a publisher wrote is in two attributes only, and what could end them is left out.
func appendReport(b []byte, p *mtasts.Policy) []byte {
	reply := b
	b = append(b, " policy_type=sts policy_domain="+p.Domain...)
	for _, pattern := range p.MX {
		parent, wildcard := strings.CutPrefix(pattern, "*.")
		if isHost(pattern) || wildcard && isHost("mx."+parent) {
			b = append(b, " mx_host_pattern="+pattern...)
		}
	}
	for line := range strings.SplitSeq(p.Text, "\n") {
		if line = strings.Trim(line, " \t\r"); isQuotable(line) {
			b = append(b, " {policy_string = "+line+"}"...)
		}
	}
	if len(b) > maxReply {
		return reply // enforced all the same, and not reported with the policy
	}
	return b
}

// isHost reports whether an mx value, which is in lower case, can stand in match=. A name
// without a dot cannot: Postfix gives "hostname", "nexthop" and "dot-nexthop" a meaning of
// their own, and with the first a publisher would let any MX host pass.
func isHost(name string) bool {
	dots, last := 0, byte('.')
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '.' && last == '.':
			return false
		case c == '.':
			dots++
		case c != '-' && c != '_' && (c < '0' || '9' < c) && (c < 'a' || 'z' < c):
			return false
		}
		last = c
	}
	return dots > 0 && last != '.'
}

// isQuotable reports whether a line of a policy file can stand between braces. Postfix
// counts them, and takes the whole reply for an error if it is not UTF-8.
func isQuotable(line string) bool {
	for i := range len(line) {
		if c := line[i]; (c < ' ' || '~' < c) && c != '\t' || c == '{' || c == '}' {
			return false
		}
	}
	return line != ""
}
