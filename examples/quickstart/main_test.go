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
	for text, want := range map[string]int{"delivered\n": 4, "held back\n": 4, "WRONG": 0} {
		if got := strings.Count(out, text); got != want {
			t.Errorf("%q is printed %d times, want %d", text, got, want)
		}
	}
	if lines := strings.Count(out, "\n"); lines > 35 {
		t.Errorf("%d lines are printed, which is more than a screenful", lines)
	}
	if t.Failed() {
		t.Log("\n" + out)
	}
}

// Each part of each expectation is compared with what has happened.
func TestWrongExpectationIsSeen(t *testing.T) {
	for name, change := range map[string]func(*outcome){
		"taken by another":  func(o *outcome) { o.takenBy += attackerMX },
		"TLS or none":       func(o *outcome) { o.overTLS = !o.overTLS },
		"reported as other": func(o *outcome) { o.reported += "sts-policy-invalid" },
	} {
		t.Run(name, func(t *testing.T) {
			changed := slices.Clone(steps)
			for i := range changed {
				change(&changed[i].want)
			}
			if wrong, out := play(t, changed); !slices.Equal(wrong, []int{1, 2, 3, 4, 5, 6, 7, 8}) {
				t.Errorf("wrong: %v, want all\n%s", wrong, out)
			}
		})
	}
}

// A sender that does not obey MTA-STS is found out.
func TestBrokenRuleIsSeen(t *testing.T) {
	t.Run("no policy is looked for", func(t *testing.T) {
		changed := slices.Clone(steps)
		changed[0].change = nil // with nothing published, it looks the same
		if wrong, out := play(t, changed); !slices.Equal(wrong, []int{1, 2, 3, 4, 5, 6}) {
			t.Errorf("wrong: %v, want 1 to 6\n%s", wrong, out)
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
		if wrong, out := play(t, changed); !slices.Equal(wrong, []int{5, 6}) {
			t.Errorf("wrong: %v, want 5 and 6\n%s", wrong, out)
		}
	})
}
