package sts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// With an index, of few or many patterns, the same matches as without; and both
// take the host as it stands in the MX record.
func TestIndexMatchesAsMatchDoes(t *testing.T) {
	var others []string
	for i := range 50 {
		others = append(others, fmt.Sprintf("mx%d.unrelated.invalid", i), fmt.Sprintf("*.%d.unrelated.invalid", i))
	}
	for _, v := range matchVectors(t) {
		mx, values := v.mx(t)
		few := patterns(t, values...)
		many := slices.Concat(others[:50], few, others[50:], few)
		for _, list := range [][]string{few, many} {
			index := sts.NewIndex(list)
			want := v.get("expect") == "match"
			if got := index.Match(list, mx); got != want {
				t.Errorf("%s: %q among %d patterns: got %v", v.name, mx, len(list), got)
			}
			if got := sts.Match(list, mx); got != want {
				t.Errorf("%s: Match of %q among %d patterns: got %v", v.name, mx, len(list), got)
			}
		}
	}
}

// One of many patterns is found wherever it stands, and none where it does not.
func TestIndexFindsOneOfManyPatterns(t *testing.T) {
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("mx%d.example.com", i), fmt.Sprintf("*.pool%d.example.net", i))
	}
	index := sts.NewIndex(list)
	for i := range 1000 {
		for mx, want := range map[string]bool{
			fmt.Sprintf("mx%d.example.com", i):          true,
			fmt.Sprintf("A.POOL%d.Example.Net.", i):     true,
			fmt.Sprintf("mx%d.example.com", 1000+i):     false,
			fmt.Sprintf("pool%d.example.net", i):        false,
			fmt.Sprintf("a.b.pool%d.example.net", i):    false,
			fmt.Sprintf("a.pool%d.example.net", 1000+i): false,
		} {
			if got := index.Match(list, mx); got != want {
				t.Errorf("%s: got %v", mx, got)
			}
		}
	}
}

func TestIndexMatchesWithoutAllocation(t *testing.T) {
	for _, n := range []int{3, 100} {
		list := slices.Repeat([]string{"other.example"}, n)
		list[n-1] = "*.a-rather-long-name-of-a-mail-provider.example.com"
		index := sts.NewIndex(list)
		for _, first := range []string{"mx1.", "mx1.mx1."} { // a hit and a miss
			mx := first + strings.ToUpper(list[n-1][2:]) + "."
			if got := index.Match(list, mx); got != (first == "mx1.") {
				t.Errorf("%s: got %v", mx, got)
			}
			if allocs := testing.AllocsPerRun(100, func() { index.Match(list, mx) }); allocs > 0 {
				t.Errorf("%s among %d patterns: %v allocations", mx, n, allocs)
			}
		}
	}
}

// Other patterns than those of the index are matched without it.
func TestIndexOfOtherPatternsIsNotUsed(t *testing.T) {
	list := slices.Repeat([]string{"mx.example.com"}, 100)
	index := sts.NewIndex(list)
	for _, other := range [][]string{nil, {"mx.example.net"}, list[:50], list[1:], slices.Repeat([]string{"mx.example.net"}, 100)} {
		for _, mx := range []string{"mx.example.com", "mx.example.net"} {
			if got, want := index.Match(other, mx), slices.Contains(other, mx); got != want {
				t.Errorf("%s among %d other patterns: got %v", mx, len(other), got)
			}
		}
	}
}
