package sts_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// Each benchmark has a floor beside it: the same work, written by hand for valid input in
// its usual forms. A floor checks the grammar as the package does. It names no error and
// accepts no other form.

var benchSizes = []int{3, 100} // mx patterns

// benchPolicy is the policy of RFC 8461, Section 3.2, or one of 100 patterns, a quarter of
// them wildcards.
func benchPolicy(size int) string {
	if size == 3 {
		return "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\n" +
			"mx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n"
	}
	var hundred strings.Builder
	hundred.WriteString("version: STSv1\r\nmode: enforce\r\n")
	for i := range 100 {
		if i%4 == 3 {
			fmt.Fprintf(&hundred, "mx: *.pool%02d.example.net\r\n", i)
		} else {
			fmt.Fprintf(&hundred, "mx: mx%02d.mail.example.com\r\n", i)
		}
	}
	hundred.WriteString("max_age: 604800\r\n")
	return hundred.String()
}

// bench measures f, which reports whether its result is right.
func bench(b *testing.B, name string, f func() bool) {
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
			if !f() {
				b.Fatal("a wrong result")
			}
		}
	})
}

func BenchmarkParseRecord(b *testing.B) {
	const txt, id = "v=STSv1; id=20160831085700Z;", "20160831085700Z"
	bench(b, "impl=ours", func() bool {
		r, err := sts.ParseRecord(txt)
		return err == nil && r.ID == id
	})
	bench(b, "impl=floor", func() bool {
		got, ok := floorRecord(txt)
		return ok && got == id
	})
}

func BenchmarkParsePolicy(b *testing.B) {
	for _, size := range benchSizes {
		text := benchPolicy(size)
		n := strings.Count(text, "mx: ")
		bench(b, fmt.Sprintf("mx=%d/impl=ours", size), func() bool {
			p, err := sts.ParsePolicy(text)
			return err == nil && len(p.MX) == n && p.Odd == 0
		})
		bench(b, fmt.Sprintf("mx=%d/impl=floor", size), func() bool {
			p, ok := floorPolicy(text)
			return ok && len(p.MX) == n
		})
	}
}

// benchHosts are hosts in the form that Name returns. A policy lists two of them by name, one
// by a wildcard, and one not at all.
func benchHosts(size int) (hosts []string, listed []bool) {
	listed = []bool{true, true, true, false}
	if size == 3 {
		return []string{"mail.example.com", "backupmx.example.com", "mx1.example.net", "mx2.example.com"}, listed
	}
	return []string{"mx02.mail.example.com", "mx98.mail.example.com", "mx1.pool51.example.net", "mx99.mail.example.com"}, listed
}

func BenchmarkMatch(b *testing.B) {
	for _, size := range benchSizes {
		p, err := sts.ParsePolicy(benchPolicy(size))
		if err != nil {
			b.Fatal(err)
		}
		hosts, listed := benchHosts(size)
		benchMatch := func(name string, match func(host string) bool) {
			var i int
			bench(b, fmt.Sprintf("mx=%d/impl=%s", size, name), func() bool {
				i++
				return match(hosts[i%4]) == listed[i%4]
			})
		}
		benchMatch("ours", func(mx string) bool { return sts.Match(p.MX, mx) })
		benchMatch("floor", func(mx string) bool { return floorMatch(p.MX, mx) })
	}
}
