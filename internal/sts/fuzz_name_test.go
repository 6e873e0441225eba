package sts_test

import (
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/idna"

	"github.com/mtasts/go-mtasts/internal/sts"
)

var hostName = regexp.MustCompile(`\A([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\z`)

var (
	fullStop  = regexp.MustCompile(`[.\x{3002}\x{ff0e}\x{ff61}]`)
	asciiOnly = regexp.MustCompile(`\A[\x00-\x7f]*\z`)
)

func FuzzName(f *testing.F) {
	for _, v := range matchVectors(f) {
		host, values := v.mx(f)
		if len(host) <= maxSeed {
			f.Add(host)
		}
		for _, value := range values {
			f.Add(value)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := sts.Name(s)
		domain, domainErr := sts.PolicyDomain(s)
		if err != nil {
			checkSyntaxError(t, err)
			if name != "" {
				t.Errorf("%q: got %q with error %v", s, name, err)
			}
		}
		if domainErr == nil {
			// The policy domain of any next hop is a name.
			if again, err := sts.Name(domain); err != nil || again != domain {
				t.Errorf("%q: policy domain %q: got %q, %v", s, domain, again, err)
			}
		}
		if err != nil {
			return
		}
		if len(name) > 253 || !hostName.MatchString(name) || digitsAtEnd.MatchString(name) {
			t.Errorf("%q: %q is no name in lower-case ASCII", s, name)
		}
		if again, err := sts.Name(name); err != nil || again != name {
			t.Errorf("%q: %q became %q, %v", s, name, again, err)
		}
		sharp := strings.ReplaceAll(s, "\u1e9e", "\u00df")
		if ascii, err := idna.Lookup.ToASCII(sharp); err == nil && strings.TrimSuffix(ascii, ".") != name {
			t.Errorf("%q: got %q, by IDNA it is %q", s, name, ascii)
		}
		labels := strings.Split(name, ".")
		for i, label := range fullStop.Split(sharp, len(labels)+1)[:len(labels)] {
			want, err := idna.Lookup.ToASCII(label)
			if asciiOnly.MatchString(label) {
				want, err = strings.ToLower(label), nil
			}
			if err != nil || labels[i] != want {
				t.Errorf("%q: label %q became %q, want %q, %v", s, label, labels[i], want, err)
			}
		}
		for _, hop := range []string{s, name, name + ":25", "[" + name + "]", "[" + name + "]:587"} {
			if domain, err := sts.PolicyDomain(hop); err != nil || domain != name {
				t.Errorf("PolicyDomain(%q): got %q, %v; want %q", hop, domain, err, name)
			}
		}
	})
}
