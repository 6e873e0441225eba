package sts_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// The grammar of RFC 8461, Section 3.1, as regular expressions.
var (
	recordABNF = regexp.MustCompile(`\Av=STSv1` +
		`([ \t]*;[ \t]*[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[\x21-\x3A\x3C\x3E-\x7E]+)+` +
		`([ \t]*;[ \t]*)?\z`)
	firstID = regexp.MustCompile(`;[ \t]*id=([^ \t;]*)`)
	idABNF  = regexp.MustCompile(`\A[A-Za-z0-9]{1,32}\z`)
)

// parseRecordSlowly is a second implementation of [sts.ParseRecord]. It differs from the
// ABNF in two points. A repeated field may hold anything. A malformed id is an error,
// although it is a valid sts-extension.
func parseRecordSlowly(txt string) (id string, ok bool) {
	fields := strings.Split(txt, ";")
	var names []string
	for i, field := range fields {
		name, _, ok := strings.Cut(strings.TrimLeft(field, " \t"), "=")
		if !ok {
			continue
		}
		if slices.Contains(names, name) {
			space := field[len(strings.TrimRight(field, " \t")):]
			fields[i] = "repeated=x" + space
		}
		names = append(names, name)
	}
	txt = strings.Join(fields, ";")
	match := firstID.FindStringSubmatch(txt)
	if match == nil || !idABNF.MatchString(match[1]) || !recordABNF.MatchString(txt) {
		return "", false
	}
	return match[1], true
}

func FuzzParseRecord(f *testing.F) {
	for _, v := range recordVectors(f) {
		for _, txt := range v.records(f) {
			if len(txt) <= maxSeed {
				f.Add(txt)
			}
		}
	}
	f.Fuzz(func(t *testing.T, txt string) {
		rec, err := sts.ParseRecord(txt)
		if id, ok := parseRecordSlowly(txt); ok != (err == nil) || id != rec.ID {
			t.Errorf("%q: got %q and %v, by the ABNF it is %q, %v", txt, rec.ID, err, id, ok)
		}
		if err != nil {
			checkSyntaxError(t, err)
			return
		}
		canonical := "v=STSv1; id=" + rec.ID + ";"
		if again, err := sts.ParseRecord(canonical); err != nil || again != rec {
			t.Errorf("%q, from %q: got %+v, %v", canonical, txt, again, err)
		}
		for _, txts := range [][]string{{txt}, {txt, "v=spf1 -all"}, {"", txt}} {
			if found, err := sts.FindRecord(txts); err != nil || found != rec {
				t.Errorf("FindRecord of %q: got %+v, %v", txts, found, err)
			}
		}
		if found, err := sts.FindRecord([]string{txt, txt}); err != sts.ErrManyRecords {
			t.Errorf("FindRecord of %q twice: got %+v, %v", txt, found, err)
		}
	})
}
