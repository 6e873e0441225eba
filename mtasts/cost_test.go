package mtasts

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testcost"
)

// largest returns a policy with a file of 64 KiB that has as many patterns as fit.
func largest(t *testing.T) *Policy {
	t.Helper()
	const begin = "version: STSv1\nmode: enforce\nmax_age: 604800\n"
	text := begin + strings.Repeat("mx:A\n", (64<<10-len(begin))/5)
	file, err := parseFile(text)
	if err != nil {
		t.Fatal(err)
	}
	p := newPolicy("example.com", strings.Repeat("9", 32), file, time.Now())
	if len(p.MX) < 13000 {
		t.Fatalf("%d patterns", len(p.MX))
	}
	return p
}

// It costs less than 10 ms of CPU time to store a policy, to read it back, to check a host
// and to print an error, whatever the publisher has put there.
func TestTheLargestPolicyIsCheapToUse(t *testing.T) {
	p := largest(t)
	entry := encodeEntry(p, time.Now())
	damaged := append([]byte(nil), entry...)
	damaged[len(damaged)/2] ^= 1
	failure := &Error{Domain: "example.com", Err: errors.New(strings.Repeat("\u202e", 1<<20))}
	for what, work := range map[string]func(){
		"encode an entry":        func() { encodeEntry(p, p.Fetched) },
		"decode an entry":        func() { decodeEntry(p.Domain, entry, parseFile) },
		"decode a damaged entry": func() { decodeEntry(p.Domain, damaged, parseFile) },
		"a host that is listed":  func() { p.CheckMX("a") },
		"a host that is not":     func() { p.CheckMX("mx.example.com") },
		"a host that is no name": func() { p.CheckMX(strings.Repeat("é", 1<<19)) },
		"the text of an error":   func() { _ = failure.Error() },
		"parse it, and cache it": func() { newSharedFiles().parse(p.Text) },
		"a host in ASCII":        func() { p.CheckMX(strings.Repeat("x", 1<<20)) },
	} {
		testcost.Under(t, what, work)
	}
	if got, _, err := decodeEntry(p.Domain, entry, parseFile); err != nil || len(got.MX) != len(p.MX) {
		t.Errorf("the entry is not the policy: %v", err)
	}
}
