package sts_test

import (
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// matches reports whether the MX host is valid for a policy with these values.
func matches(t *testing.T, mx string, values ...string) bool {
	t.Helper()
	host, err := sts.Name(mx)
	if err != nil {
		t.Fatal(err)
	}
	return sts.Match(patterns(t, values...), host)
}

// "A receiving candidate MX host is valid according to an applied MTA-STS
// Policy if the MX record name matches one or more of the "mx" fields".
func TestRFC8461_4_1_OneMatchingPatternIsEnough(t *testing.T) {
	values := []string{"a.example", "b.example", "*.c.example"}
	for _, mx := range []string{"a.example", "b.example", "mail.c.example"} {
		if !matches(t, mx, values...) {
			t.Errorf("%s does not match %q", mx, values)
		}
	}
	for _, mx := range []string{"d.example", "c.example", "example", "a.b.example"} {
		if matches(t, mx, values...) {
			t.Errorf("%s matches %q", mx, values)
		}
	}
	if sts.Match(nil, "a.example") {
		t.Error("no pattern at all matches")
	}
}

// "Thus, the mx pattern "*.example.com" matches "mail.example.com" but not
// "example.com" or "foo.bar.example.com"."
func TestRFC8461_4_1_WildcardMatchesExactlyOneLabel(t *testing.T) {
	for mx, want := range map[string]bool{
		"mail.example.com":          true,
		"m.example.com":             true,
		"xn--bcher-kva.example.com": true,
		"example.com":               false,
		"foo.bar.example.com":       false,
		"a.b.c.example.com":         false,
		"mailexample.com":           false,
		"mail.xexample.com":         false,
		"mail.example.com.evil":     false,
		"com":                       false,
	} {
		if got := matches(t, mx, "*.example.com"); got != want {
			t.Errorf("%s: got %v", mx, got)
		}
	}
}

// "the wildcard character "*" may only be used to match the entire left-most
// label in the presented identifier".
func TestRFC8461_4_1_WildcardIsTheEntireLeftmostLabel(t *testing.T) {
	for pattern, mx := range map[string]string{
		"*":                  "localhost",
		"*.":                 "localhost",
		"*..":                "localhost", // MX holds "*."
		"m*.example.com":     "mail.example.com",
		"*l.example.com":     "mail.example.com",
		"m*l.example.com":    "mail.example.com",
		"mail.*.com":         "mail.example.com",
		"mail.example.*":     "mail.example.com",
		"*.*.com":            "mail.example.com",
		"*.*":                "example.com",
		"**.example.com":     "mail.example.com",
		"xn--*.example.com":  "xn--bcher-kva.example.com",
		"mail.*.example.com": "mail.a.example.com",
	} {
		if matches(t, mx, pattern) {
			t.Errorf("%s matches %s", pattern, mx)
		}
	}
}

// "Matching is identical to the rules given in [RFC6125]": names are compared
// without regard to case (its Section 6.4.1).
func TestRFC8461_4_1_NamesAreComparedWithoutRegardToCase(t *testing.T) {
	for _, value := range []string{"mail.example.com", "MAIL.EXAMPLE.COM", "*.Example.cOM", "mail.example.com."} {
		for _, mx := range []string{"mail.example.com", "MAIL.EXAMPLE.COM", "Mail.Example.Com", "mail.example.com."} {
			if !matches(t, mx, value) {
				t.Errorf("%s does not match %s", mx, value)
			}
		}
	}
	// Only the letters of ASCII have a case here: U+0130 and U+212A fold to
	// letters of ASCII elsewhere.
	for value, mx := range map[string]string{"ma\u0130l.example": "mail.example", "\u212a.example": "k.example"} {
		if matches(t, mx, value) {
			t.Errorf("%s matches %q", mx, value)
		}
	}
}

// RFC 6125, Section 6.4.2, to which Section 4.1 refers: internationalized names
// are converted to A-labels before they are compared.
func TestRFC8461_4_1_NamesAreComparedAsALabels(t *testing.T) {
	for mx, value := range map[string]string{
		"b\u00fccher.example":      "xn--bcher-kva.example",
		"B\u00dcCHER.example":      "XN--BCHER-KVA.example",
		"bu\u0308cher.example":     "xn--bcher-kva.example",
		"mail.b\u00fccher.example": "*.xn--bcher-kva.example",
		"fa\u00df.example":         "xn--fa-hia.example",
	} {
		if !matches(t, mx, value) {
			t.Errorf("%s does not match %s", mx, value)
		}
	}
	if matches(t, "fa\u00df.example", "fass.example") {
		t.Error("sharp s was mapped to ss: that is the transitional rule")
	}
}

// RFC 5321, Section 4.1.2: a Domain is made of letters, digits and hyphens, and no
// IDNA check applies. A label that IDNA reserves (RFC 5890, Section 2.3.1) or cannot
// decode is compared like any other.
func TestRFC8461_4_1_LabelsThatIDNAReservesAreOrdinary(t *testing.T) {
	for _, label := range []string{
		"r3--nm9", "R3--NM9", "aa--bb", "x0--a", "0n--a", "__--a", "r3---sn", "a-b--c", "zz--" + strings.Repeat("z", 59),
		"xn--a", "xn--zzzzzzzz99", "XN--ZZZZZZZZ99", "xn---a", "xn--0", "xn--xn--a", "xn--bcher-kva",
	} {
		own, child, parent := label+".example", "mail."+label+".example", "*."+label+".example"
		for mx, values := range map[string]map[string]bool{
			own:   {own: true, strings.ToLower(own): true, strings.ToUpper(own) + ".": true, "*.example": true, child: false, parent: false},
			child: {own: false, child: true, parent: true, strings.ToUpper(parent): true, "*.example": false},
		} {
			for value, want := range values {
				if p := accept(t, "version: STSv1", "mode: enforce", "max_age: 1", "mx: "+value); p.Odd != 0 {
					t.Errorf("pattern %s: %d odd", value, p.Odd)
				}
				if matches(t, mx, value) != want {
					t.Errorf("%s and pattern %s: want a match: %v", mx, value, want)
				}
			}
		}
	}
}

// An invalid value matches nothing, not even a host of the same spelling.
func TestRFC8461_4_1_InvalidValuesMatchNothing(t *testing.T) {
	for _, value := range []string{strings.Repeat("a", 64) + ".example", "192.0.2.1", "*.192.0.2.1"} {
		host, err := sts.Name(strings.Replace(value, "*", "mail", 1))
		if err == nil && sts.Match([]string{value}, host) {
			t.Errorf("%s matched", value)
		}
	}
}
