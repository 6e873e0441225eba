package sts

import "strings"

// Match reports whether host, as returned by [Name], matches one of patterns,
// as held by [Policy].MX.
//
// RFC 8461, Section 4.1: a pattern is a name, or "*." and a name, in which the
// asterisk stands for exactly one label. "*.example.com" matches
// mail.example.com, but neither example.com nor foo.bar.example.com.
func Match(patterns []string, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	for _, p := range patterns {
		base, wildcard := strings.CutPrefix(p, "*.")
		if wildcard {
			if base != parent {
				continue
			}
		} else if p != host {
			continue
		}
		// A pattern that equals a valid name can still be one that is not to
		// match: see canMatch. It is asked for the few that come so far.
		if canMatch(p) {
			return true
		}
	}
	return false
}

// canMatch reports whether any host can match pattern. An IP address, "*",
// "a.*.b" or a label of 64 octets cannot, for they are no names; nor can a
// false A-label ("--" in the third and fourth place without "xn"), which IDNA
// reserves (RFC 5890, Section 2.3.1) and no publisher can have meant.
func canMatch(pattern string) bool {
	base := strings.TrimPrefix(pattern, "*.")
	return len(pattern) <= maxName && check(base) == nameOK && !hasFalseALabel(base)
}

func hasFalseALabel(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if len(label) >= 4 && label[2:4] == "--" && label[:2] != "xn" {
			return true
		}
	}
	return false
}
