package sts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// Patterns that were made ready, few or many of them, match what Match matches,
// and take the host as it stands in the MX record.
func TestPatternsMatchAsMatchDoes(t *testing.T) {
	var others []string
	for i := range 50 {
		others = append(others, fmt.Sprintf("mx%d.unrelated.invalid", i), fmt.Sprintf("*.%d.unrelated.invalid", i))
	}
	for _, v := range matchVectors(t) {
		mx, values := v.mx(t)
		few := patterns(t, values...)
		many := slices.Concat(others[:50], few, others[50:], few)
		for _, list := range [][]string{few, many} {
			ready := sts.NewPatterns(list)
			want := v.get("expect") == "match"
			if got := ready.Match(mx); got != want {
				t.Errorf("%s: %q among %d patterns: got %v", v.name, mx, len(list), got)
			}
			if got := sts.Match(list, mx); got != want {
				t.Errorf("%s: Match of %q among %d patterns: got %v", v.name, mx, len(list), got)
			}
		}
	}
}

// One of many patterns is found wherever it stands, and none where it does not.
func TestPatternsAreFoundAmongMany(t *testing.T) {
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("mx%d.example.com", i), fmt.Sprintf("*.pool%d.example.net", i))
	}
	ready := sts.NewPatterns(list)
	for i := range 1000 {
		for mx, want := range map[string]bool{
			fmt.Sprintf("mx%d.example.com", i):          true,
			fmt.Sprintf("A.POOL%d.Example.Net.", i):     true,
			fmt.Sprintf("mx%d.example.com", 1000+i):     false,
			fmt.Sprintf("pool%d.example.net", i):        false,
			fmt.Sprintf("a.b.pool%d.example.net", i):    false,
			fmt.Sprintf("a.pool%d.example.net", 1000+i): false,
		} {
			if got := ready.Match(mx); got != want {
				t.Errorf("%s: got %v", mx, got)
			}
		}
	}
}

func TestPatternsMatchWithoutAllocation(t *testing.T) {
	for _, n := range []int{3, 100} {
		list := slices.Repeat([]string{"other.example"}, n)
		list[n-1] = "*.a-rather-long-name-of-a-mail-provider.example.com"
		ready := sts.NewPatterns(list)
		for _, first := range []string{"mx1.", "mx1.mx1."} { // a hit and a miss
			mx := first + strings.ToUpper(list[n-1][2:]) + "."
			if got := ready.Match(mx); got != (first == "mx1.") {
				t.Errorf("%s: got %v", mx, got)
			}
			if allocs := testing.AllocsPerRun(100, func() { ready.Match(mx) }); allocs > 0 {
				t.Errorf("%s among %d patterns: %v allocations", mx, n, allocs)
			}
		}
	}
}
