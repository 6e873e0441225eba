package sts_test

import (
	"crypto/x509"
	"regexp"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

var falseALabel = regexp.MustCompile(`(?i)(^|\.)([^x.][^.]|x[^n.])--`)

// RFC 8461, Section 4.1: "Matching is identical to the rules given in [RFC6125]"
// for the DNS-IDs of a certificate, so crypto/x509 must come to the same result
// with the pattern as the only name of a certificate. It differs in one point
// and is told one thing:
//   - A pattern with a false A-label (two hyphens in the third and fourth place
//     of a label that does not begin with xn) matches nothing here; crypto/x509
//     knows nothing of IDNA.
//   - A policy's pattern may end in a full stop, a DNS-ID may not.
func FuzzMatch(f *testing.F) {
	for _, v := range matchVectors(f) {
		host, values := v.mx(f)
		if len(host) > maxSeed {
			continue
		}
		for _, value := range values {
			f.Add(value, host)
		}
	}
	f.Fuzz(func(t *testing.T, value, mx string) {
		host, err := sts.Name(mx)
		value = strings.Trim(value, " \t\r")
		if err != nil || strings.ContainsAny(value, "\x00\n") || len(value) > 1000 {
			return
		}
		got := sts.Match(patterns(t, value), host)

		pattern := strings.TrimSuffix(value, ".")
		cert := x509.Certificate{DNSNames: []string{pattern}}
		want := cert.VerifyHostname(host) == nil && !falseALabel.MatchString(pattern)
		if got != want && host != "unrelated.invalid" {
			t.Errorf("pattern %q, host %q: got %v, want %v", pattern, host, got, want)
		}
	})
}
