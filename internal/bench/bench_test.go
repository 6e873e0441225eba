package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rounds are those of a benchmark that has printed ours and base, in turns.
func rounds(t *testing.T, ours, base []string) (list []round) {
	t.Helper()
	for i := range ours {
		var r round
		var err error
		if r.ours, err = parse("BenchmarkX/ours 100 "+ours[i], "BenchmarkX/ours"); err != nil {
			t.Fatal(err)
		}
		if base != nil {
			if r.base, err = parse("BenchmarkX/floor 100 "+base[i], "BenchmarkX/floor"); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, r)
	}
	return list
}

// compared is a row with a floor and no targets yet.
var compared = against("floor", row{name: "X"}, "BenchmarkX")

func TestTheRatioIsTheMedianOfThoseOfTheRounds(t *testing.T) {
	res, err := summarize(compared, rounds(t,
		[]string{"10 ns/op 0 allocs/op", "200 ns/op 0 allocs/op", "12 ns/op 1 allocs/op"}, // the machine is slow in the second round
		[]string{"10 ns/op", "100 ns/op", "8 ns/op"}))
	if err != nil || res.ratio != 1.5 || res.ours != 12 || res.base != 10 || res.allocs != 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestAFigureThatIsNotPrintedIsAnError(t *testing.T) {
	byDisk := compared
	byDisk.unit = "disk-ratio"
	for name, test := range map[string]struct {
		row        row
		ours, base string
	}{
		"the unit of ours": {byDisk, "1 ns/op 0 allocs/op", "1 disk-ratio"},
		"that of the base": {byDisk, "1 disk-ratio 0 allocs/op", "1 ns/op"},
		"allocations":      {compared, "1 ns/op", "1 ns/op"},
	} {
		if res, err := summarize(test.row, rounds(t, []string{test.ours}, []string{test.base})); err == nil {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

func TestTheVerdict(t *testing.T) {
	ratio, figureAlone := compared, row{name: "X", ours: trial{bench: "BenchmarkX/ours"}, most: 1500}
	ratio.most, ratio.allocs, ratio.instructions = 1.2, new(3), 700
	for name, test := range map[string]struct {
		row        row
		ours, base string
		count      float64 // instructions
		plan       plan
		broken     string
		of         int
	}{
		"all hold, just":                    {ratio, "12 ns/op 3 allocs/op", "10 ns/op", 700, full, "", 3},
		"too slow":                          {ratio, "12.1 ns/op 3 allocs/op", "10 ns/op", 700, full, "ratio", 3},
		"too slow, but short":               {ratio, "99 ns/op 3 allocs/op", "10 ns/op", 700, quick, "", 2},
		"allocations":                       {ratio, "12 ns/op 4 allocs/op", "10 ns/op", 700, full, "allocations", 3},
		"allocations, short":                {ratio, "12 ns/op 4 allocs/op", "10 ns/op", 700, quick, "allocations", 2},
		"instructions, short":               {ratio, "12 ns/op 3 allocs/op", "10 ns/op", 700.5, quick, "instructions", 2},
		"all three":                         {ratio, "99 ns/op 4 allocs/op", "10 ns/op", 701, full, "ratio, allocations, instructions", 3},
		"instructions that are not counted": {ratio, "12 ns/op 3 allocs/op", "10 ns/op", 0, full, "", 2},
		"no ratio":                          {ratio, "0 ns/op 3 allocs/op", "0 ns/op", 700, full, "ratio", 3},
		"a figure":                          {figureAlone, "1500 ns/op 9 allocs/op", "", 0, full, "", 1},
		"a figure too large":                {figureAlone, "1501 ns/op 9 allocs/op", "", 0, full, "ns/op", 1},
		"a figure, short":                   {figureAlone, "1501 ns/op 9 allocs/op", "", 0, quick, "", 0},
		"no target":                         {compared, "99 ns/op 9 allocs/op", "1 ns/op", 0, full, "", 0},
	} {
		res, err := summarize(test.row, rounds(t, []string{test.ours}, []string{test.base + " 1 x"}[:1]))
		if err != nil {
			t.Fatal(err)
		}
		res.instructions = test.count
		var broken []string
		list := targets(test.row, res, test.plan)
		for _, target := range list {
			if !target.holds() {
				broken = append(broken, target.what)
			}
		}
		if got := strings.Join(broken, ", "); got != test.broken || len(list) != test.of {
			t.Errorf("%s: broken are %q of %d, want %q of %d", name, got, len(list), test.broken, test.of)
		}
		var line strings.Builder
		printRow(&line, test.row, res, test.plan)
		if (test.broken != "") != strings.Contains(line.String(), "BROKEN: "+test.broken) || strings.Contains(line.String(), "holds") != (test.broken == "" && test.of > 0) {
			t.Errorf("%s: the row is %q", name, &line)
		}
	}
}

// A row that cannot be measured fails the run, even one that decides nothing.
func TestARowWithoutItsBenchmarkFailsTheRun(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out strings.Builder
	held, all, err := bench(t.Context(), &out, []row{{name: "nothing", pkg: "internal/leak", ours: trial{bench: "BenchmarkNothing"}}}, quick)
	if err != nil || held != 0 || all != 1 || !strings.Contains(out.String(), "FAILED: BenchmarkNothing: there is no such benchmark") {
		t.Errorf("%d of %d, %v\n%s", held, all, err, &out)
	}
	nothingLeft(t)
}

func TestWhatDoesNotCompileIsAnError(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	_, _, err := bench(t.Context(), new(strings.Builder), []row{{name: "nothing", pkg: "internal/nothing"}}, quick)
	if err == nil || !strings.Contains(err.Error(), "internal/nothing") {
		t.Error(err)
	}
	nothingLeft(t)
}

func TestAnInterruptLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	if status := run(ctx, nil, &out, &errs); status != 2 {
		t.Errorf("exit status %d\n%s%s", status, &out, &errs)
	}
	nothingLeft(t)
}

func nothingLeft(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "bench-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestBadInputIsExplained(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-run", "("}, "-run: error parsing regexp"},
		{[]string{"-run", "no such row"}, `no row has a name that matches "no such row"`},
		{[]string{"-fast"}, "not defined: -fast"},
		{[]string{"Bolt"}, "takes no arguments"},
	} {
		var out, errs strings.Builder
		if status := run(t.Context(), test.args, &out, &errs); status != 2 || !strings.Contains(errs.String(), test.want) || out.Len() > 0 {
			t.Errorf("%q: exit status %d, %q, %q", test.args, status, &out, &errs)
		}
	}
}

func TestEachRowHasANameOfItsOwn(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range rows {
		if seen[r.name] || r.ours.bench == "" || r.pkg == "" {
			t.Errorf("%+v", r)
		}
		seen[r.name] = true
	}
}
