package mtasts

import (
	"strings"
	"testing"
	"time"
	"unsafe"
)

// Domains with the same policy file share its text in memory, and the patterns in it.
func TestEqualPolicyFilesShareTheirText(t *testing.T) {
	const text = "version: STSv1\nmode: enforce\nmx: mx.example.net\nmax_age: 604800\n"
	var policies [2]*Policy
	for i, domain := range []string{"example.com", "example.org"} {
		p, _, err := newPolicy(domain, "1", strings.Clone(text), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		policies[i] = p
	}
	for what, s := range map[string][2]string{
		"text":    {policies[0].Text, policies[1].Text},
		"pattern": {policies[0].MX[0], policies[1].MX[0]},
	} {
		if s[0] != s[1] || unsafe.StringData(s[0]) != unsafe.StringData(s[1]) {
			t.Errorf("the %s is there twice: %q, %q", what, s[0], s[1])
		}
	}
}
