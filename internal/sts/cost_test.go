package sts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/internal/testcost"
)

// upTo returns begin and as many of unit as fit into size octets.
func upTo(size int, begin, unit string) string {
	return begin + strings.Repeat(unit, (size-len(begin))/len(unit))
}

// numbered is upTo with numbered units, before end; format has a %x.
func numbered(size int, begin, format, end string) string {
	var b strings.Builder
	b.WriteString(begin)
	for i := 0; b.Len() < size-len(end)-20; i++ {
		fmt.Fprintf(&b, format, i)
	}
	b.WriteString(end)
	return b.String()
}

// No policy file costs more than 10 ms of CPU time, whatever is in it.
func TestAnyPolicyIsCheapToParse(t *testing.T) {
	const begin = "version: STSv1\nmode: enforce\nmax_age: 604800\nmx:a\n"
	for what, text := range map[string]string{
		"patterns":                    upTo(sts.MaxPolicySize, begin, "mx:a\n"),
		"patterns in upper case":      upTo(sts.MaxPolicySize, begin, "mx:A\n"),
		"patterns with a full stop":   upTo(sts.MaxPolicySize, begin, "mx:A.\n"),
		"patterns that match nothing": upTo(sts.MaxPolicySize, begin, "mx:*\n"),
		"patterns that are empty":     upTo(sts.MaxPolicySize, begin, "mx:\n"),
		"long patterns":               upTo(sts.MaxPolicySize, begin, "mx:"+strings.Repeat("A.", 126)+"A\n"),
		"long labels with hyphens":    upTo(sts.MaxPolicySize, begin, "mx:"+strings.Repeat("aa--a.", 42)+"A\n"),
		"a pattern of 64 KiB":         upTo(sts.MaxPolicySize, begin+"mx:", "a."),
		"blank patterns":              upTo(sts.MaxPolicySize, begin, " mx \t:\r a \r\n"),
		"modes":                       upTo(sts.MaxPolicySize, begin, "mode:\n"),
		"versions":                    upTo(sts.MaxPolicySize, begin, "version:\n"),
		"lives":                       upTo(sts.MaxPolicySize, begin, "max_age:9\n"),
		"other keys":                  numbered(sts.MaxPolicySize, begin, "%x:a\n", ""),
		"keys without a name":         upTo(sts.MaxPolicySize, begin, ":\n"),
		"line ends":                   upTo(sts.MaxPolicySize, begin, "\n"),
		"stray carriage returns":      upTo(sts.MaxPolicySize, begin, "\r"),
		"a line of 64 KiB":            upTo(sts.MaxPolicySize, begin, "x"),
		"a line of colons":            upTo(sts.MaxPolicySize, begin, ":"),
		"a line of spaces":            upTo(sts.MaxPolicySize, begin, " "),
		"a pattern of spaces":         upTo(sts.MaxPolicySize, begin+"mx:", " "),
		"byte order marks":            upTo(sts.MaxPolicySize, begin, "\ufeff"),
		"more than 64 KiB":            upTo(1<<20, begin, "mx:a\n"),
	} {
		if _, err := sts.ParsePolicy(text); (err == nil) == (len(text) > sts.MaxPolicySize) {
			t.Errorf("%s: %v", what, err)
		}
		testcost.Under(t, what, func() { sts.ParsePolicy(text) })
	}
}

// Nor do the TXT records of a name. A DNS message, and so all of them together, has less than
// 64 KiB.
func TestAnyRecordIsCheapToParse(t *testing.T) {
	const size = 65535
	for what, txts := range map[string][]string{
		"extensions":                      {upTo(size, "v=STSv1;id=1", ";a=b")},
		"extensions with spaces":          {upTo(size, "v=STSv1;id=1", " ; a=b")},
		"extensions of other names":       {numbered(size, "v=STSv1;id=1", ";%x=b", "")},
		"malformed extensions":            {upTo(size, "v=STSv1;id=1;a=b", ";a=")},
		"a malformed one at the end":      {numbered(size, "v=STSv1;id=1", ";%x=b", ";1=")},
		"a malformed one at the start":    {numbered(size, "v=STSv1;id=1;a=b;a=", ";%x=b", "")},
		"ids":                             {upTo(size, "v=STSv1;id=1", ";id=")},
		"versions":                        {upTo(size, "v=STSv1;id=1", ";v=")},
		"an id of 64 KiB":                 {upTo(size, "v=STSv1;id=", "1")},
		"a value of 64 KiB":               {upTo(size, "v=STSv1;id=1;a=", "1")},
		"a malformed value of 64 KiB":     {upTo(size, "v=STSv1;id=1;a=b;a=", "=")},
		"a name of 64 KiB":                {upTo(size, "v=STSv1;", "a")},
		"spaces":                          {upTo(size, "v=STSv1", " ")},
		"spaces before the end":           {upTo(size, "v=STSv1;id=1;", " ")},
		"delimiters":                      {upTo(size, "v=STSv1;id=1", " ;")},
		"10,000 records":                  slices.Repeat([]string{"v=STSv1;id=1"}, 10000),
		"10,000 records with a space":     slices.Repeat([]string{"v=STSv1 ;id=1"}, 10000),
		"10,000 records of something":     slices.Repeat([]string{"v=STSv2"}, 10000),
		"10,000 records of other use":     slices.Repeat([]string{"v=spf1"}, 10000),
		"quotation marks":                 {upTo(size, "v=ST", "\"")},
		"quotation marks of three octets": {upTo(size, "v=ST", "\u201c")},
		"full-width letters":              slices.Repeat([]string{upTo(255, "x", "\uff56\uff1d")}, size/255),
		"versions in parts":               slices.Repeat([]string{upTo(255, "x", "v=stsv1")}, size/255),
		"10,000 records and a good one":   append(slices.Repeat([]string{"v=STSv1"}, 10000), "v=STSv1;id=1"),
		"a record of spaces, and another": {upTo(size, "v=STSv1", " "), "v=STSv1 ;id=1"},
	} {
		testcost.Under(t, what, func() { sts.FindRecord(txts) })
	}
}

// Nor does a name, in any script.
func TestAnyNameIsCheapToConvert(t *testing.T) {
	ideographs := func(n int, step rune) string {
		var b strings.Builder
		for r := rune(0x4e00); b.Len()+3 <= n; r += step {
			b.WriteRune(r)
		}
		return b.String()
	}
	const most = 4 * 253 // longer names are refused at once
	names := map[string]string{
		"a megabyte":               strings.Repeat("é", 1<<19),
		"a megabyte of full stops": strings.Repeat("。", 1<<18),
		"a megabyte of brackets":   "[" + strings.Repeat("]:", 1<<19),
		"other ideographs each":    ideographs(most, 7),
		"one in ASCII and others":  "a" + ideographs(most-1, 7),
		"an A-label among others":  upTo(most, "é.", "xn--"+strings.Repeat("a", 59)+"."),
		"a long A-label":           upTo(most, "é.xn--", "9"),
	}
	for _, unit := range []string{
		"é", "中", "𐐀", "ß", "א", "aא", "中а", "각", "ﷺ", "é.", "中.", "א.", "xn--a.中.", // scripts
		"e\u0301", "a\u0316\u0301", "\u0301\u0316", "a\u0316.", "\u0344", "\u0f73", "\ufb2c", // combining marks
		"\u1100\u1161\u11a8", "क\u094d\u200dष", "\u200d", "\u00ad", "\u202e", "\xff", // composed, joined or rejected
	} {
		names[fmt.Sprintf("%+q", unit)] = upTo(most, "", unit)
	}
	for what, name := range names {
		testcost.Under(t, what, func() {
			sts.Name(name)
			sts.PolicyDomain(name)
			sts.PolicyDomain("[" + name + "]:25")
		})
	}
}

// Nor does a match, with as many patterns as a policy can have.
func TestAnyMatchIsCheap(t *testing.T) {
	long := strings.Repeat("a.", 126) + "a"
	for what, test := range map[string]struct{ pattern, host string }{
		"other patterns":              {"a", "mx.example.com"},
		"wildcards that nearly match": {"*." + long[2:250] + "b.b", long},
		"labels with hyphens":         {"aa--a", "aa--b"},
	} {
		patterns := slices.Repeat([]string{test.pattern}, 13100)
		if sts.Match(patterns, test.host) {
			t.Errorf("%s: a match", what)
		}
		testcost.Under(t, what, func() { sts.Match(patterns, test.host) })
	}
}
