package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/examples/internal/testnet"
)

// play runs steps. It returns the numbers of those with an unexpected outcome, and the output.
func play(t *testing.T, steps []step) ([]int, string) {
	t.Helper()
	var out strings.Builder
	wrong, err := run(t.Context(), &out, steps)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return wrong, out.String()
}

func TestAllOutcomesAreAsExpected(t *testing.T) {
	wrong, out := play(t, steps)
	if len(wrong) > 0 {
		t.Errorf("wrong: %v", wrong)
	}
	for text, want := range map[string]int{"delivered\n": 5, "deferred\n": 4, "WRONG": 0} {
		if got := strings.Count(out, text); got != want {
			t.Errorf("%q is printed %d times, want %d", text, got, want)
		}
	}
	if lines := strings.Count(out, "\n"); lines > 55 {
		t.Errorf("%d lines are printed, which is more than a screen", lines)
	}
	for _, part := range []string{
		"Alarm: policy sts-policy-fetch-error: ",
		"from id 1, enforce, mx.enforce.example\n",
		"to   id 2, enforce, mx.enforce.example mx2.enforce.example\n",
		weekPlayed,
	} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not printed", part)
		}
	}
	wantNarrow(t, out)
	if t.Failed() {
		t.Log("\n" + out)
	}
}

// wantNarrow asserts that out fits a terminal of 80 columns.
func wantNarrow(t *testing.T, out string) {
	t.Helper()
	for line := range strings.Lines(out) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

// Quickstart compares each part of each expectation.
func TestWrongExpectationIsReported(t *testing.T) {
	for name, change := range map[string]func(*outcome){
		"received by another":  func(o *outcome) { o.receivedBy += testnet.AttackerMX },
		"TLS or none":          func(o *outcome) { o.overTLS = !o.overTLS },
		"reported differently": func(o *outcome) { o.reported += "sts-policy-invalid" },
		"another notice":       func(o *outcome) { o.notice += "sts-policy-invalid" },
	} {
		t.Run(name, func(t *testing.T) {
			changed := slices.Clone(steps)
			for i := range changed {
				change(&changed[i].want)
			}
			wrong, out := play(t, changed)
			if len(wrong) != len(steps) {
				t.Errorf("wrong: %v, want all\n%s", wrong, out)
			}
			wantNarrow(t, out)
		})
	}
}

// Quickstart detects a sender that does not obey MTA-STS.
func TestBrokenRuleIsReported(t *testing.T) {
	t.Run("the policy is not discovered", func(t *testing.T) {
		changed := slices.Clone(steps)
		changed[0].change = nil // nothing is published
		if wrong, out := play(t, changed); !slices.Equal(wrong, []int{1, 2, 3, 4, 5, 6, 7}) {
			t.Errorf("wrong: %v, want 1 to 7\n%s", wrong, out)
		}
	})
	t.Run("a restart loses the policy", func(t *testing.T) {
		changed := slices.Clone(steps)
		attack := changed[4].change
		changed[4].change = func(s *stage) {
			attack(s)
			s.db = filepath.Join(t.TempDir(), "another.db")
			if err := s.restart(); err != nil {
				t.Fatal(err)
			}
		}
		if wrong, out := play(t, changed); !slices.Equal(wrong, []int{5, 6, 7}) {
			t.Errorf("wrong: %v, want 5 to 7\n%s", wrong, out)
		}
	})
}
