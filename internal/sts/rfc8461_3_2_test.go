package sts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// accept and reject parse a policy of the given lines.
func accept(t *testing.T, lines ...string) sts.Policy {
	t.Helper()
	p, err := sts.ParsePolicy(strings.Join(lines, "\n"))
	if err != nil {
		t.Errorf("%q: %v", lines, err)
	}
	return p
}

func reject(t *testing.T, lines ...string) {
	t.Helper()
	p, err := sts.ParsePolicy(strings.Join(lines, "\n"))
	if err == nil {
		t.Errorf("%q: got %+v", lines, p)
		return
	}
	checkSyntaxError(t, err)
}

// "The Policy Host DNS name is constructed by prepending "mta-sts" to the
// Policy Domain."
func TestRFC8461_3_2_PolicyHostIsMtaStsAtThePolicyDomain(t *testing.T) {
	if got := sts.PolicyLabel + "example.com"; got != "mta-sts.example.com" {
		t.Errorf("got %s", got)
	}
}

// "CRLF-separated key/value pairs", and "sts-policy-term = LF / CRLF".
func TestRFC8461_3_2_LinesEndInCRLFOrLF(t *testing.T) {
	lines := []string{"version: STSv1", "mode: enforce", "mx: mail.example.com", "max_age: 1", ""}
	for _, term := range []string{"\n", "\r\n"} {
		if _, err := sts.ParsePolicy(strings.Join(lines, term)); err != nil {
			t.Errorf("lines that end in %q: %v", term, err)
		}
	}
	for _, term := range []string{"\r", "\v", "\f", "\u0085", "\u2028", "\u2029", "\x1e", ";", " "} {
		if p, err := sts.ParsePolicy(strings.Join(lines, term)); err == nil {
			t.Errorf("lines that end in %q: got %+v", term, p)
		}
		p := accept(t, "version: STSv1", "mode: enforce", "mx: mail.example.com", "max_age: 1", "x: y"+term+"mx: evil.example")
		if len(p.MX) != 1 {
			t.Errorf("%q smuggled an mx in: %q", term, p.MX)
		}
	}
}

// "version": Currently, only "STSv1" is supported.
func TestRFC8461_3_2_OnlyVersionSTSv1IsSupported(t *testing.T) {
	accept(t, "version: STSv1", "mode: none", "max_age: 1")
	for _, version := range []string{"STSv2", "STSv", "STSv10", "stsv1", "1", "", "STSv1;", "STSv1,STSv2"} {
		reject(t, "version: "+version, "mode: none", "max_age: 1")
	}
}

// "mode": One of "enforce", "testing", or "none".
func TestRFC8461_3_2_ModeIsOneOfThree(t *testing.T) {
	for _, mode := range []sts.Mode{sts.Enforce, sts.Testing, sts.None} {
		p := accept(t, "version: STSv1", "mode: "+string(mode), "mx: mail.example.com", "max_age: 1")
		if p.Mode != mode {
			t.Errorf("got %s, want %s", p.Mode, mode)
		}
	}
	for _, mode := range []string{"", "Enforce", "TESTING", "report", "enforced", "enforc", "enforce testing", "None"} {
		reject(t, "version: STSv1", "mode: "+mode, "mx: mail.example.com", "max_age: 1")
	}
}

// "max_age": plain-text non-negative integer seconds, "1*10(DIGIT)".
func TestRFC8461_3_2_MaxAgeIsUpToTenDigits(t *testing.T) {
	for _, s := range []string{"0", "1", "86400", "604800", "31557600", "0000000001"} {
		p := accept(t, "version: STSv1", "mode: none", "max_age: "+s)
		if want, _ := time.ParseDuration(s + "s"); p.MaxAge != want {
			t.Errorf("max_age %s: got %v, want %v", s, p.MaxAge, want)
		}
	}
	for _, s := range []string{"", "-1", "+1", "1.0", "1e3", "0x10", "1_000", "1 000", "1d", "00000000001", "12345678901", "\uff11", "ten"} {
		reject(t, "version: STSv1", "mode: none", "max_age: "+s)
	}
}

// "max_age": maximum value of 31557600. A greater value is reduced to it. It never wraps
// around, which could make a policy expire at once.
func TestRFC8461_3_2_MaxAgeIsAtMost31557600Seconds(t *testing.T) {
	for _, s := range []string{"31557600", "31557601", "99999999", "2147483648", "4294967297", "9223372037", "9999999999"} {
		p := accept(t, "version: STSv1", "mode: none", "max_age: "+s)
		if p.MaxAge != 31557600*time.Second {
			t.Errorf("max_age %s: got %v", s, p.MaxAge)
		}
	}
}

// "mx": Allowed MX patterns. "each MX MUST have its own "mx:" key, and each MX
// key/value pair MUST be on its own line".
func TestRFC8461_3_2_EachMXIsOnItsOwnLine(t *testing.T) {
	p := accept(t, "version: STSv1", "mx: a.example", "mode: enforce", "mx: b.example", "max_age: 1", "mx: *.c.example")
	if want := []string{"a.example", "b.example", "*.c.example"}; !slices.Equal(p.MX, want) {
		t.Errorf("got %q, want %q", p.MX, want)
	}
	for _, line := range []string{"mx: a.example b.example", "mx: a.example, b.example", "mx: a.example; b.example", "mx: a.example,b.example"} {
		reject(t, "version: STSv1", "mode: enforce", "max_age: 1", line)
	}
}

// "Valid patterns can be either fully specified names ("example.com") or
// suffixes prefixed by a wildcard ("*.example.net")."
func TestRFC8461_3_2_PatternsAreNamesOrWildcardSuffixes(t *testing.T) {
	for _, pattern := range []string{"example.com", "*.example.net"} {
		p := accept(t, "version: STSv1", "mode: enforce", "max_age: 1", "mx: "+pattern)
		if !slices.Equal(p.MX, []string{pattern}) || p.Odd != 0 {
			t.Errorf("%s: got %q, %d odd", pattern, p.MX, p.Odd)
		}
	}
	for _, pattern := range []string{"*", "*.", "m*.example.net", "*m.example.net", "mx.*.example.net", "*.*.example.net", ".example.net", "192.0.2.1", "2001:db8::1"} {
		reject(t, "version: STSv1", "mode: enforce", "max_age: 1", "mx: "+pattern)
		p := accept(t, "version: STSv1", "mode: enforce", "max_age: 1", "mx: "+pattern, "mx: mail.example.com")
		if p.Odd != 1 || sts.Match(p.MX, "mx.example.net") || !sts.Match(p.MX, "mail.example.com") {
			t.Errorf("%s: got %q, %d odd", pattern, p.MX, p.Odd)
		}
	}
}

// "In the case of Internationalized Domain Names, the "mx" value MUST specify
// the Punycode-encoded A-label to match against, and not the Unicode-encoded
// U-label."
func TestRFC8461_3_2_MXIsAnALabelNotAULabel(t *testing.T) {
	host, err := sts.Name("b\u00fccher.example")
	if err != nil {
		t.Fatal(err)
	}
	p := accept(t, "version: STSv1", "mode: enforce", "max_age: 1", "mx: xn--bcher-kva.example")
	if !sts.Match(p.MX, host) {
		t.Errorf("%q does not match %s", p.MX, host)
	}
	reject(t, "version: STSv1", "mode: enforce", "max_age: 1", "mx: b\u00fccher.example")
	p = accept(t, "version: STSv1", "mode: enforce", "max_age: 1", "mx: b\u00fccher.example", "mx: a.example")
	if p.Odd != 1 || sts.Match(p.MX, host) {
		t.Errorf("a U-label was matched: %q", p.MX)
	}
}

// "sts-policy-version / mode / max-age: required once"
func TestRFC8461_3_2_VersionModeAndMaxAgeAreRequired(t *testing.T) {
	lines := []string{"version: STSv1", "mode: enforce", "max_age: 1", "mx: mail.example.com"}
	accept(t, lines...)
	for i := range 3 {
		reject(t, slices.Delete(slices.Clone(lines), i, i+1)...)
	}
}

// "sts-policy-mx: required at least once, except when mode is "none""
func TestRFC8461_3_2_MXIsRequiredUnlessModeIsNone(t *testing.T) {
	reject(t, "version: STSv1", "mode: enforce", "max_age: 1")
	reject(t, "version: STSv1", "mode: testing", "max_age: 1")
	accept(t, "version: STSv1", "mode: none", "max_age: 1")
}

// The ABNF marks keys and values with %s: they are case-sensitive.
func TestRFC8461_3_2_KeysAndValuesAreCaseSensitive(t *testing.T) {
	lines := []string{"version: STSv1", "mode: enforce", "max_age: 1", "mx: mail.example.com"}
	for i, line := range lines {
		changed := slices.Clone(lines)
		changed[i] = strings.ToUpper(line[:1]) + line[1:]
		reject(t, changed...)
	}
	reject(t, "version: STSV1", "mode: enforce", "max_age: 1", "mx: mail.example.com")
	reject(t, "version: STSv1", "mode: ENFORCE", "max_age: 1", "mx: mail.example.com")
}

// "Parsers MUST accept TXT records and policy files that are syntactically
// valid ..., possibly containing additional key/value pairs not specified in
// this document, in which case unknown fields SHALL be ignored."
func TestRFC8461_3_2_UnknownFieldsAreIgnored(t *testing.T) {
	for _, field := range []string{"x=y", "mx=evil.example", "a.b-c_d=1", "9=<>[]{}:/", "ID=2", "version=STSv1"} {
		for _, txt := range []string{"v=STSv1; " + field + "; id=1", "v=STSv1; id=1; " + field + ";"} {
			if rec, err := sts.ParseRecord(txt); err != nil || rec.ID != "1" {
				t.Errorf("%q: got %+v, %v", txt, rec, err)
			}
		}
	}
	lines := []string{"version: STSv1", "mode: enforce", "max_age: 1", "mx: mail.example.com"}
	want := accept(t, lines...)
	for _, line := range []string{"x: y", "v: STSv2", "id: 1", "MODE: none", "report: mailto:a@example.com", "note: b\u00fccher", "a.b-c_d: 1 2 3"} {
		for i := range len(lines) + 1 {
			if got := accept(t, slices.Insert(slices.Clone(lines), i, line)...); !equal(got, want) {
				t.Errorf("%q at line %d: got %+v", line, i, got)
			}
		}
	}
}

// "If any non-repeated field -- i.e., all fields excepting "mx" -- is
// duplicated, all entries except for the first SHALL be ignored."
func TestRFC8461_3_2_AllButTheFirstOfADuplicatedFieldAreIgnored(t *testing.T) {
	for _, second := range []string{"id=2", "id=", "id=a-b", "id= x ", "v=STSv2", "v=", "x=2", "x="} {
		txt := "v=STSv1; id=1; x=1; " + second + "; y=1"
		if rec, err := sts.ParseRecord(txt); err != nil || rec.ID != "1" {
			t.Errorf("%q: got %+v, %v", txt, rec, err)
		}
	}
	lines := []string{"version: STSv1", "mode: enforce", "max_age: 1", "mx: mail.example.com"}
	want := accept(t, lines...)
	for _, second := range []string{"version: STSv2", "version:", "mode: none", "mode: testing", "mode: Enforce", "mode:", "max_age: 2", "max_age: -1", "max_age:"} {
		if got := accept(t, append(slices.Clone(lines), second)...); !equal(got, want) {
			t.Errorf("%q changed the policy: got %+v", second, got)
		}
		// The first counts, even if a valid one follows.
		key, _, _ := strings.Cut(second, ":")
		text := append([]string{key + ": ?"}, lines...)
		reject(t, text...)
	}
}

// An invalid mx value does not make the others invalid. Odd counts such values, so that a
// sender can log them.
func TestOddMXValuesAreCounted(t *testing.T) {
	values := []string{"192.0.2.1", "*", "", "b\u00fccher.example", "a b", strings.Repeat("a", 300)}
	lines := []string{"version: STSv1", "mode: testing", "max_age: 1", "mx: mail.example.com"}
	for i, value := range values {
		lines = append(lines, fmt.Sprintf("mx: %s", value))
		if p := accept(t, lines...); p.Odd != i+1 || !sts.Match(p.MX, "mail.example.com") {
			t.Errorf("after %q: %d odd, %q", value, p.Odd, p.MX)
		}
	}
}
