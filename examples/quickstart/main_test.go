package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// play runs steps, and returns the numbers of those that went wrong and what was
// printed.
func play(t *testing.T, steps []step) ([]int, string) {
	t.Helper()
	var out strings.Builder
	wrong, err := run(t.Context(), &out, steps)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return wrong, out.String()
}

func TestAllGoAsTheyMust(t *testing.T) {
	wrong, out := play(t, steps)
	if len(wrong) > 0 {
		t.Errorf("wrong: %v", wrong)
	}
	for text, want := range map[string]int{"delivered\n": 5, "held back\n": 4, "WRONG": 0} {
		if got := strings.Count(out, text); got != want {
			t.Errorf("%q is printed %d times, want %d", text, got, want)
		}
	}
	if lines := strings.Count(out, "\n"); lines > 55 {
		t.Errorf("%d lines are printed, which is more than a screenful", lines)
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

// Each part of each expectation is compared with what has happened.
func TestWrongExpectationIsSeen(t *testing.T) {
	for name, change := range map[string]func(*outcome){
		"taken by another":  func(o *outcome) { o.takenBy += attackerMX },
		"TLS or none":       func(o *outcome) { o.overTLS = !o.overTLS },
		"reported as other": func(o *outcome) { o.reported += "sts-policy-invalid" },
		"other news":        func(o *outcome) { o.news += "sts-policy-invalid" },
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

// A sender that does not obey MTA-STS is found out.
func TestBrokenRuleIsSeen(t *testing.T) {
	t.Run("the policy is not discovered", func(t *testing.T) {
		changed := slices.Clone(steps)
		changed[0].change = nil // the same as nothing published
		if wrong, out := play(t, changed); !slices.Equal(wrong, []int{1, 2, 3, 4, 5, 6, 7}) {
			t.Errorf("wrong: %v, want 1 to 7\n%s", wrong, out)
		}
	})
	t.Run("a restart forgets", func(t *testing.T) {
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
