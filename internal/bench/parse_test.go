package main

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

const printed = `goos: linux
goarch: amd64
pkg: github.com/mtasts/go-mtasts/cache
cpu: AMD EPYC
BenchmarkMatch/3mx/ours         	 8203454	       146.3 ns/op	       0 B/op	       0 allocs/op
BenchmarkMatch/3mx/ours-2       	     100	        51.0 ns/op
BenchmarkBoltDisk-2             	       1	1234567 ns/op	         0.3100 disk-ratio	   12 B/op	       1 allocs/op
PASS
`

func TestTheFiguresOfABenchmark(t *testing.T) {
	for name, want := range map[string]figures{
		"BenchmarkMatch/3mx/ours":   {"ns/op": 146.3, "B/op": 0, "allocs/op": 0},
		"BenchmarkMatch/3mx/ours-2": {"ns/op": 51},
		"BenchmarkBoltDisk-2":       {"ns/op": 1234567, "disk-ratio": 0.31, "B/op": 12, "allocs/op": 1},
	} {
		if got, err := parse(printed, name); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
}

func TestABenchmarkThatIsNotThereIsAnError(t *testing.T) {
	for _, output := range []string{"", "PASS\n", printed, "BenchmarkMatch/3mx\n", "testing: warning: no tests to run\nPASS\n"} {
		if got, err := parse(output, "BenchmarkMatch/3mx"); !errors.Is(err, errMissing) {
			t.Errorf("of %q: %v, %v", output, got, err)
		}
	}
	if _, err := (figures{"ns/op": 1}).figure("disk-ratio"); err == nil || !strings.Contains(err.Error(), "disk-ratio") {
		t.Errorf("a figure that is not there: %v", err)
	}
}

func TestWhatIsNoLineOfABenchmarkIsAnError(t *testing.T) {
	for _, line := range []string{
		"BenchmarkX 100",
		"BenchmarkX 100 ns/op",
		"BenchmarkX 0 5 ns/op",
		"BenchmarkX many 5 ns/op",
		"BenchmarkX 100 fast ns/op",
		"BenchmarkX 100 NaN ns/op",
		"BenchmarkX 100 +Inf ns/op",
		"BenchmarkX 100 5 ns/op 3",
		"BenchmarkX 100 5 ns/op\nBenchmarkX 100 6 ns/op",
	} {
		if got, err := parse(line, "BenchmarkX"); err == nil {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestTheInstructionsThatCallgrindCounts(t *testing.T) {
	got, err := parseCallgrind("BenchmarkX 100 5 ns/op\n==4059== \n==4059== Events    : Ir\n==4059== Collected : 59386912\n==4059==\n")
	if err != nil || got != 59386912 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := parseCallgrind("Assertion 'x' failed.\n"); err == nil || !strings.Contains(err.Error(), "Assertion") {
		t.Errorf("of a failure: %v, %v", got, err)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1}, 5},
		{[]float64{100, 1, 2}, 2},
		{[]float64{1, 4, 100, 2}, 3},
	} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v: %v, want %v", test.values, got, test.want)
		}
	}
}

func TestATrialRunsOneBenchmark(t *testing.T) {
	for _, test := range []struct {
		trial         trial
		pattern, line string
	}{
		{trial{bench: "BenchmarkMatch/3mx/ours"}, "^BenchmarkMatch$/^3mx$/^ours$", "BenchmarkMatch/3mx/ours"},
		{trial{bench: "BenchmarkMatch/3mx/ours", procs: 1}, "^BenchmarkMatch$/^3mx$/^ours$", "BenchmarkMatch/3mx/ours"},
		{trial{bench: "BenchmarkA/b.c", procs: 2}, `^BenchmarkA$/^b\.c$`, "BenchmarkA/b.c-2"},
	} {
		if got := test.trial.pattern(); got != test.pattern {
			t.Errorf("%v: pattern %s, want %s", test.trial, got, test.pattern)
		}
		if got := test.trial.line(); got != test.line {
			t.Errorf("%v: line %s, want %s", test.trial, got, test.line)
		}
	}
}
