package sts_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// RFC 8461, Section 4.1: "Matching is identical to the rules given in [RFC6125]"
// for the DNS-IDs of a certificate, so crypto/x509 must come to the same result
// with the pattern as the only name of a certificate. A pattern may end in a full stop,
// which a DNS-ID cannot have, so the test removes it.
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
		want := cert.VerifyHostname(host) == nil
		if got != want && host != "unrelated.invalid" {
			t.Errorf("pattern %q, host %q: got %v, want %v", pattern, host, got, want)
		}
	})
}
