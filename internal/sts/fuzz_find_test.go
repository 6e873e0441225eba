package sts_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

var (
	strictStart = regexp.MustCompile(`\Av=STSv1;`)
	looseStart  = regexp.MustCompile(`\Av=STSv1[ \t]*;`)
	anyStart    = regexp.MustCompile(`(?i)\A[ \t"'\\]*v=STS`)
)

// FuzzFindRecord finds in any set of records, one on each line, the record that RFC 8461,
// Section 3.1 specifies.
func FuzzFindRecord(f *testing.F) {
	for _, v := range recordVectors(f) {
		if txts := strings.Join(v.records(f), "\n"); len(txts) <= maxSeed {
			f.Add(txts)
		}
	}
	f.Fuzz(func(t *testing.T, lines string) {
		txts := strings.Split(lines, "\n")
		got, err := sts.FindRecord(txts)

		candidates := matching(strictStart, txts)
		if len(candidates) == 0 {
			candidates = matching(looseStart, txts)
		}
		switch len(candidates) {
		case 0:
			if !errors.Is(err, sts.ErrNoRecord) {
				t.Errorf("%q: got %+v, %v", txts, got, err)
			}
			checkText(t, err.Error(), 600)
			if meant := len(matching(anyStart, txts)) > 0; meant && err.Error() == sts.ErrNoRecord.Error() {
				t.Errorf("%q: a near miss is not named", txts)
			}
		case 1:
			want, wantErr := sts.ParseRecord(candidates[0])
			if got != want || (err == nil) != (wantErr == nil) {
				t.Errorf("%q: got %+v, %v; want %+v, %v", txts, got, err, want, wantErr)
			}
		default:
			if !errors.Is(err, sts.ErrManyRecords) {
				t.Errorf("%q: got %+v, %v", txts, got, err)
			}
		}
	})
}

func matching(expression *regexp.Regexp, txts []string) (found []string) {
	for _, txt := range txts {
		if expression.MatchString(txt) {
			found = append(found, txt)
		}
	}
	return found
}
