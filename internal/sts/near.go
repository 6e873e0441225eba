package sts

import (
	"fmt"
	"strings"
)

// noRecord is the error for TXT records none of which is an MTA-STS record. It quotes
// the first that was meant to be one, and says what is wrong with it.
func noRecord(txts []string) error {
	for _, txt := range txts {
		if flaws := nearMiss(txt); flaws != "" {
			return fmt.Errorf("%w; a near miss is %s: %s", ErrNoRecord, quote(txt), flaws)
		}
	}
	return ErrNoRecord
}

// quotes are the quotation marks that zone editors and word processors add.
const quotes = "\"'`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"

// nearMiss says what is wrong with a record that was meant to be an MTA-STS record. It
// returns "" for a record with another purpose.
func nearMiss(txt string) string {
	var flaws []string
	note := func(found bool, flaw string) {
		if found {
			flaws = append(flaws, flaw)
		}
	}
	head, _, more := strings.Cut(txt, ";")
	note(strings.ContainsAny(head, quotes), "quotation marks")
	note(more && strings.HasSuffix(head, `\`), "an escaped semicolon")
	note(strings.Contains(strings.TrimSuffix(head, `\`), `\`), "a backslash")
	note(strings.ContainsFunc(head, isForeign), "characters other than printable ASCII")

	plain := strings.Map(toPlain, txt)
	trimmed := strings.TrimLeft(plain, wsp)
	note(plain != trimmed, "white space at the start")
	folded := lower(trimmed)
	before, after, ok := strings.Cut(folded, "v=stsv1")
	ok = ok && (before == "" || !isAlnum(before[len(before)-1])) // not "dev=stsv1"
	switch {
	case !ok && !namesVersion(folded):
		return ""
	case !ok || before == "" && after != "" && (isAlnum(after[0]) || after[0] == '.'):
		note(true, `a version other than "v=STSv1"`)
	case before != "":
		note(true, `"v=STSv1" not at the start`)
	default:
		note(!strings.HasPrefix(trimmed, recordVersion), "wrong case")
		note(!strings.HasPrefix(strings.TrimLeft(after, wsp), ";"), `no ";" after "v=STSv1"`)
	}
	return strings.Join(flaws, ", ")
}

// namesVersion reports whether s, in lower case, begins with a malformed version of
// this protocol: "v=sts1", "v: mta-sts", "version=sts2" or "stsv1".
func namesVersion(s string) bool {
	if strings.HasPrefix(s, "stsv1") || strings.HasPrefix(s, "vstsv") {
		return true
	}
	name := s[:nameEnd(s, 0)]
	if name != "v" && name != "version" {
		return false
	}
	value := strings.TrimLeft(s[len(name):], " \t=:")
	value = strings.TrimLeft(strings.TrimPrefix(value, "mta"), "-_ ")
	return strings.HasPrefix(value, "sts")
}

// toPlain removes, for [strings.Map], quotation marks, backslashes and what is not
// printable ASCII. It turns the full-width forms of Chinese and Japanese input methods
// into ASCII.
func toPlain(r rune) rune {
	const first, last = '\uff01', '\uff5e'
	switch {
	case first <= r && r <= last:
		return r - first + '!'
	case r == '\\' || isForeign(r) || strings.ContainsRune(quotes, r):
		return -1
	}
	return r
}

func isForeign(r rune) bool {
	return r != '\t' && (r < ' ' || r > '~') && !strings.ContainsRune(quotes, r)
}
