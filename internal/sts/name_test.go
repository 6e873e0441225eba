package sts_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/mtasts/go-mtasts/internal/sts"
)

func TestName(t *testing.T) {
	label := strings.Repeat("a", 63)
	longest := strings.Join([]string{label, label, label, label[:61]}, ".")
	for s, want := range map[string]string{
		"example.com":                     "example.com",
		"example.com.":                    "example.com",
		"EXAMPLE.Com":                     "example.com",
		"com":                             "com",
		"a":                               "a",
		"1.example":                       "1.example",
		"1a":                              "1a",
		"a1.2b":                           "a1.2b",
		"_dmarc.ex_ample.com_":            "_dmarc.ex_ample.com_",
		"a--b.example":                    "a--b.example",
		"r3--x.example":                   "r3--x.example",
		"xn--bcher-kva.example":           "xn--bcher-kva.example",
		"XN--BCHER-KVA.EXAMPLE":           "xn--bcher-kva.example",
		"xn--zzzzzzzz99.example":          "xn--zzzzzzzz99.example",
		"R3--X.b\u00fccher.example":       "r3--x.xn--bcher-kva.example",
		"xn--a.b\u00fccher.XN--b":         "xn--a.xn--bcher-kva.xn--b",
		"_a.b\u00fccher\u3002r3--x\uff0e": "_a.xn--bcher-kva.r3--x",
		"\u05d0.1a.example":               "xn--4db.1a.example",
		"fa\u1e9e.example":                "xn--fa-hia.example",
		"\uff32\uff13.r3--x\uff61example": "r3.r3--x.example",
		"b\u00fccher.example":             "xn--bcher-kva.example",
		"b\u00fccher.example.":            "xn--bcher-kva.example",
		"B\u00dcCHER.EXAMPLE":             "xn--bcher-kva.example",
		"bu\u0308cher.example":            "xn--bcher-kva.example",
		"fa\u00df.example":                "xn--fa-hia.example",
		"\u4f8b\u3048.jp":                 "xn--r8jz45g.jp",
		"\uff4dail.example":               "mail.example",
		"mail\u3002example":               "mail.example",
		"\u0130stanbul.example":           "xn--istanbul-o0e.example",
		label + ".example":                label + ".example",
		longest:                           longest,
		longest + ".":                     longest,
		strings.ToUpper(longest):          longest,
		"0x7f.example":                    "0x7f.example",
		"192.0.2.1.in-addr.arpa.":         "192.0.2.1.in-addr.arpa",
	} {
		if got, err := sts.Name(s); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", s, got, err, want)
		}
	}
}

func TestNameRejectsInvalidNames(t *testing.T) {
	label := strings.Repeat("a", 63)
	for _, s := range []string{
		"", ".", "..", ".a", "a..", "a..b", "a/b", "a b", " a", "a ", "a\t", "a\n", "a\r", "a\x00", "a\x7f", "\x1b[31m",
		"*", "*.example", "a*.example", "user@example.com", "[a.example]", "a.example:25", "a,b", "a;b", "a\"b", "a\\.b", "a'b", "(a)",
		"-a", "a-", "a-.b", "a.-b", "-", "a.-", "1", "42", "192.0.2.1", "192.0.2.1.", "a.1", "a.0x7f.1", "::1", "2001:db8::1",
		label + "a", label + "a.example", strings.Join([]string{label, label, label, label[:62]}, "."),
		"\xff", "a\xff.example", "\xc3.example", "b\u00fccher\xff.example", "\ufffd.example", "a\u200db.example", "-\u00e9.example",
		"\u00e9-.example", "\u00ad.example", "\u00e9..example", "\u00e9 .example", "\u00e9/b.example", "\u00e9*.example", "\u00e9.1", "\uff11\uff19\uff12.0.2.1",
		"a\u2028.example", "a\u0085.example", "\u05d0a1.example", "xn--\u00fc.example", "\u00e9\x00.example", "\u00e9.example\n", "\u3002", "a\u3002.", "a.\u3002", "\u00e9\u3002.", "\u00e9..", "\u3002example",
		strings.Repeat("\u00fc", 64) + ".example", strings.Repeat("a.", 1<<19), strings.Repeat("\u00fc", 1<<19), strings.Repeat("\u3002", 1<<19),
		strings.Repeat(".", 1<<20), strings.Repeat("\xff", 1<<20), strings.Repeat("\u0315", 1<<19),
	} {
		got, err := sts.Name(s)
		if err == nil || got != "" {
			t.Errorf("%.100q: got %q, %v", s, got, err)
			continue
		}
		checkSyntaxError(t, err)
	}
}

// A domain in upper case and in lower case is one domain, or one of the two is not a
// name. For the exceptions, the case of a letter changes the domain.
func TestNameIsTheSameInEitherCase(t *testing.T) {
	exceptions := map[[2]rune]string{
		{'\u0130', 'i'}:      "the capital I with a dot is, by IDNA, i and a combining dot",
		{'\u0131', 'I'}:      "the dotless i is a letter of its own; its capital is that of i",
		{'\u03c2', '\u03a3'}: "the final sigma is a letter of its own; its capital is that of sigma",
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		for _, other := range []rune{unicode.ToLower(r), unicode.ToUpper(r), unicode.ToTitle(r)} {
			if other == r {
				continue
			}
			one, err1 := sts.Name("a" + string(r) + "b.example")
			two, err2 := sts.Name("a" + string(other) + "b.example")
			_, exception := exceptions[[2]rune{r, other}]
			if err1 == nil && err2 == nil && (one != two) != exception {
				t.Errorf("%U is %s, %U is %s; exception: %v", r, one, other, two, exception)
			}
		}
	}
}

// The time that IDNA takes grows faster than its input. So a long name is rejected
// before its conversion, even if the result would be short.
func TestNameAbove1024OctetsIsRefusedBeforeConversion(t *testing.T) {
	ignored := strings.Repeat("\u00ad", 600) // 1200 octets that IDNA maps to nothing
	if got, err := sts.Name("a" + ignored + ".example"); err == nil {
		t.Errorf("got %q", got)
	}
	ignored = strings.Repeat("\u00ad", 400)
	if got, err := sts.Name("a" + ignored + ".example"); err != nil || got != "a.example" {
		t.Errorf("got %q, %v", got, err)
	}
}
