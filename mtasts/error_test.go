package mtasts

import (
	"errors"
	"strings"
	"testing"
)

// FuzzError: whatever an error holds, its text is one short line of printable ASCII.
func FuzzError(f *testing.F) {
	f.Add("example.com", "mx.example.com", "plain")
	f.Add("", "", "\x1b[2J\r\n250 ok\x00")
	long := strings.Repeat("\U000e0001", 1000)
	f.Add(long, long, long)
	f.Add("\u202e\u2028\U000e0001", "\xff\xfe", "\r\n")
	f.Fuzz(func(t *testing.T, domain, mx, text string) {
		for _, err := range []*Error{
			{Domain: domain, MX: mx, Result: ResultCertificateHostMismatch, Err: errors.New(text)},
			{Domain: domain, MX: mx, Reason: text},
		} {
			line := err.Error()
			if len(line) >= 1000 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%d octets: %.1100q", len(line), line)
			}
		}
	})
}
