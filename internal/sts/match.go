package sts

import "strings"

// Match reports whether an MX host, in the form that [Name] returns, matches one of
// patterns, as [Policy].MX holds them.
//
// RFC 8461, Section 4.1: a pattern is a name, or "*." and a name, in which the
// asterisk stands for exactly one label. "*.example.com" matches
// mail.example.com, but neither example.com nor foo.bar.example.com.
func Match(patterns []string, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	for _, p := range patterns {
		if p == host {
			return true
		}
		if base, ok := strings.CutPrefix(p, "*."); ok && base == parent && parent != "" {
			return true
		}
	}
	return false
}
