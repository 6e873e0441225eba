package sts_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

var (
	policyLine  = regexp.MustCompile(`(?s)\A[ \t\r]*([^:]*?)[ \t\r]*:[ \t\r]*(.*?)[ \t\r]*\z`)
	maxAgeABNF  = regexp.MustCompile(`\A[0-9]{1,10}\z`)
	printable   = regexp.MustCompile(`\A[!-~]{1,255}\z`)
	livePattern = regexp.MustCompile(`\A(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\z`)
	digitsAtEnd = regexp.MustCompile(`(\A|\.)[0-9]+\z`)
)

// alive reports whether some host can match an mx value that is in lower case
// and without a final dot.
func alive(pattern string) bool {
	return len(pattern) <= 253 && livePattern.MatchString(pattern) && !digitsAtEnd.MatchString(pattern)
}

// parsePolicySlowly is a second implementation of [sts.ParsePolicy].
func parsePolicySlowly(text string) (p sts.Policy, ok bool) {
	if len(text) > 65536 || strings.Contains(text, "\x00") {
		return sts.Policy{}, false
	}
	first := make(map[string]string)
	live := 0
	for _, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		field := policyLine.FindStringSubmatch(line)
		if field == nil {
			continue
		}
		key, value := field[1], field[2]
		if _, ok := first[key]; !ok {
			first[key] = value
		}
		if key != "mx" {
			continue
		}
		mx := strings.TrimSuffix(value, ".")
		if !printable.MatchString(mx) {
			p.Odd++
			continue
		}
		mx = strings.ToLower(mx) // ASCII by now
		p.MX = append(p.MX, mx)
		if alive(mx) {
			live++
		} else {
			p.Odd++
		}
	}
	p.Mode = sts.Mode(first["mode"])
	switch p.Mode {
	case sts.Enforce, sts.Testing, sts.None:
	default:
		return sts.Policy{}, false
	}
	if first["version"] != "STSv1" || !maxAgeABNF.MatchString(first["max_age"]) || p.Mode != sts.None && live == 0 {
		return sts.Policy{}, false
	}
	seconds, _ := strconv.ParseInt(first["max_age"], 10, 64)
	p.MaxAge = time.Duration(min(seconds, 31557600)) * time.Second
	return p, true
}

// render writes a policy in its shortest form, which is never longer than the original
// file.
func render(p sts.Policy) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version:STSv1\nmode:%s\nmax_age:%d", p.Mode, p.MaxAge/time.Second)
	for _, mx := range p.MX {
		b.WriteString("\nmx:" + mx)
		if strings.HasSuffix(mx, ".") {
			b.WriteString(".") // one final dot is dropped
		}
	}
	return b.String()
}

func FuzzParsePolicy(f *testing.F) {
	for _, v := range policyVectors(f) {
		if text := v.policy(f); len(text) <= maxSeed {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := sts.ParsePolicy(text)
		if want, ok := parsePolicySlowly(text); ok != (err == nil) || !equal(p, want) {
			t.Errorf("%q:\ngot %+v, %v\nwant %+v, %v", text, p, err, want, ok)
		}
		if err != nil {
			checkSyntaxError(t, err)
			return
		}
		checkPolicy(t, p)

		again, err := sts.ParsePolicy(render(p))
		p.Odd, again.Odd = 0, 0 // what was dropped is not rendered
		if err != nil || !equal(again, p) {
			t.Errorf("%q became %q:\ngot %+v, %v\nwant %+v", text, render(p), again, err, p)
		}
		for _, line := range []string{"unknown: field", "mode: none", "mode: enforce", "mode:", "version: STSv2", "max_age: -1", "garbage", "", "\r", "\ufeffmx: evil.example"} {
			longer := text + "\n" + line
			if len(longer) > sts.MaxPolicySize {
				continue
			}
			again, err := sts.ParsePolicy(longer)
			again.Odd = 0
			if err != nil || !equal(again, p) {
				t.Errorf("%q at the end of %q: got %+v, %v", line, text, again, err)
			}
		}
	})
}

// checkPolicy checks what a caller may rely on in any policy.
func checkPolicy(t *testing.T, p sts.Policy) {
	t.Helper()
	if p.Mode != sts.Enforce && p.Mode != sts.Testing && p.Mode != sts.None {
		t.Errorf("mode %q", p.Mode)
	}
	if p.MaxAge < 0 || p.MaxAge > 31557600*time.Second || p.MaxAge%time.Second != 0 {
		t.Errorf("max_age %v", p.MaxAge)
	}
	live := 0
	for _, mx := range p.MX {
		if !printable.MatchString(mx) || mx != strings.ToLower(mx) {
			t.Errorf("mx %q", mx)
		}
		// A pattern is alive if there is a host that it matches.
		witness := strings.Replace(mx, "*", "a", 1)
		host, err := sts.Name(witness)
		matched := err == nil && host == witness && sts.Match([]string{mx}, host)
		if matched != alive(mx) {
			t.Errorf("mx %q matches %q: %v", mx, witness, matched)
		}
		if matched {
			live++
		}
	}
	if p.Mode != sts.None && live == 0 {
		t.Errorf("mode %s, but no host can match %q", p.Mode, p.MX)
	}
}
