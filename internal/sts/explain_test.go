package sts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// An explanation is of what ParsePolicy does, and has each line up to one that is at fault.
func TestExplainPolicy(t *testing.T) {
	for _, v := range policyVectors(t) {
		text := v.policy(t)
		want, wantErr := sts.ParsePolicy(text)
		got, lines, err := sts.ExplainPolicy(text)
		if !equal(got, want) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: %+v, %v; ParsePolicy has %+v, %v", v.name, got, err, want, wantErr)
		}
		if all := strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1; err == nil && len(lines) != all {
			t.Errorf("%s: %d lines of %d", v.name, len(lines), all)
		}
		var mx []string
		odd := 0
		for i, line := range lines {
			if line.Fate == sts.LineVoidsPolicy && (err == nil || i != len(lines)-1) {
				t.Errorf("%s: line %d voids the policy, error %v", v.name, i+1, err)
			}
			if line.Key == "mx" && line.Fate == sts.LineUsed {
				mx = append(mx, line.Value)
			} else if line.Fate == sts.LineMatchesNothing {
				odd++
			}
		}
		for _, pattern := range mx {
			if err == nil && !slices.Contains(got.MX, pattern) {
				t.Errorf("%s: %q is not in %q", v.name, pattern, got.MX)
			}
		}
		if err == nil && odd != got.Odd {
			t.Errorf("%s: %d lines match nothing, and Odd is %d", v.name, odd, got.Odd)
		}
	}
}

// The candidates are those among which FindRecord chooses, and a SyntaxError says where.
func TestCandidates(t *testing.T) {
	for _, v := range recordVectors(t) {
		txts := v.records(t)
		candidates, loose := sts.Candidates(txts)
		_, err := sts.FindRecord(txts)
		syntax, malformed := errors.AsType[*sts.SyntaxError](err)
		switch n := len(candidates); {
		case (n == 0) != errors.Is(err, sts.ErrNoRecord), (n > 1) != errors.Is(err, sts.ErrManyRecords):
			t.Errorf("%s: %d candidates, and %v", v.name, n, err)
		case n == 1 && loose == strings.HasPrefix(txts[candidates[0]], "v=STSv1;"):
			t.Errorf("%s: loose is %v", v.name, loose)
		case malformed && (syntax.At < 0 || syntax.At > len(txts[candidates[0]])):
			t.Errorf("%s: at %d", v.name, syntax.At)
		}
	}
	_, err := sts.ParseRecord("v=STSv1; id=1; no field")
	if syntax, ok := errors.AsType[*sts.SyntaxError](err); !ok || syntax.At != len("v=STSv1; id=1; ") {
		t.Errorf("%+v", err)
	}
}
