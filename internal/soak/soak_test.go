package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/leak"
	"github.com/mtasts/go-mtasts/mtasts"
)

func TestMain(m *testing.M) { leak.Main(m) }

// tiny is for scenarios that are small enough for a test.
func tiny(deadline time.Duration) settings {
	return settings{memory: 256, patience: 200 * time.Millisecond, deadline: deadline}
}

func TestAllBoundsHoldInEveryScenario(t *testing.T) {
	all := scenarios()
	for i := range all {
		all[i].n /= 50
	}
	var out strings.Builder
	if code := soak(&out, all, tiny(3*time.Minute), 0); code != 0 {
		t.Fatalf("exit status %d:\n%s", code, &out)
	}
	for _, sc := range all {
		if !strings.Contains(out.String(), "\n"+sc.name+": ") {
			t.Errorf("%q is missing in\n%s", sc.name, &out)
		}
	}
	if n := strings.Count(out.String(), ": holds\n"); n != len(all) {
		t.Errorf("%d of %d scenarios hold:\n%s", n, len(all), &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "all ") || !strings.HasSuffix(last, " bounds hold") {
		t.Errorf("the last line is %q", last)
	}
	for _, line := range lines {
		if len(line) > 80 {
			t.Errorf("more than 80 columns: %q", line)
		}
	}
}

// broken runs one scenario and asserts that it breaks the bound of this name.
func broken(t *testing.T, name string, run func(*trial) error) {
	t.Helper()
	var out strings.Builder
	code := soak(&out, []scenario{{"must fail", 1, 1, run}}, tiny(time.Second), 0)
	if code != 1 || !strings.Contains(out.String(), "\nbroke: must fail: "+name) || !strings.HasSuffix(out.String(), " bounds broke\n") {
		t.Errorf("exit status %d; want 1, because of %q:\n%s", code, name, &out)
	}
}

func TestABrokenBoundIsExitStatusOne(t *testing.T) {
	var kept [][]byte
	end := make(chan struct{})
	broken(t, "heap closed", func(*trial) error {
		for range 8 {
			kept = append(kept, make([]byte, 1<<20))
		}
		return nil
	})
	kept = nil
	broken(t, "goroutines closed", func(*trial) error {
		go func() { <-end }()
		return nil
	})
	close(end)
	if openFiles() > 0 { // if the system tells
		var left *os.File
		broken(t, "files closed", func(trial *trial) (err error) {
			left, err = os.Create(filepath.Join(t.TempDir(), "left open"))
			return err
		})
		left.Close()
	}
	broken(t, "goroutines open", func(t *trial) error {
		return t.with(mtasts.Options{}, limits{}, func() { go t.client.Run(context.Background()) })
	})
	broken(t, "heap open", func(t *trial) error {
		t.none, t.record = true, func(int) string { return "" }
		answers := make([]*mtasts.Policy, 20_000) // all reachable, whatever the size of the cache
		err := t.with(mtasts.Options{MemoryEntries: 1}, limits{open: reading{heap: entryHeap}}, func() {
			t.each(len(answers), workers, func(n int) (right bool) {
				answers[n], _ = t.client.PolicyFor(context.Background(), name(n))
				return answers[n] != nil
			})
		})
		runtime.KeepAlive(answers)
		return err
	})
	broken(t, "wrong answers", func(t *trial) error {
		t.none = true // but there is a policy
		return t.with(mtasts.Options{}, limits{}, t.all)
	})
	broken(t, "the scenario is impossible", func(*trial) error { return errors.New("the scenario is impossible") })
}

// Soak measures a process when it is idle.
func TestMeasuringWaitsUntilIdle(t *testing.T) {
	late := scenario{"late", 1, 1, func(t *trial) error {
		return t.with(mtasts.Options{}, limits{open: reading{heap: 1}}, func() {
			garbage := make([]byte, 64<<20)
			go func() {
				<-time.After(500 * time.Millisecond)
				runtime.KeepAlive(garbage)
			}()
		})
	}}
	var out strings.Builder
	if code := soak(&out, []scenario{late}, tiny(time.Minute), 0); code != 0 {
		t.Errorf("exit status %d:\n%s", code, &out)
	}
}

func TestWrongFlagsAreExitStatusTwo(t *testing.T) {
	var list strings.Builder
	for _, sc := range scenarios() {
		fmt.Fprintf(&list, "\n  %s", sc.name)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-long", "4"}, "invalid value"},
		{[]string{"-short"}, "not defined: -short"},
		{[]string{"4h"}, `unexpected argument "4h"`},
		{[]string{"-run", "("}, "error parsing regexp"},
		{[]string{"-run", "quotas"}, `no scenario matches -run "quotas"; the scenarios are` + list.String()},
	} {
		var out, errs strings.Builder
		if code := run(test.args, &out, &errs); code != 2 || out.Len() > 0 || !strings.Contains(errs.String(), test.want) {
			t.Errorf("%q: exit status %d, output %q, errors %q", test.args, code, &out, &errs)
		}
	}
}

func TestHelp(t *testing.T) {
	var out, errs strings.Builder
	if code := run([]string{"-h"}, &out, &errs); code != 0 {
		t.Errorf("exit status %d", code)
	}
	for _, want := range []string{"-run regexp", "-long time", scenarios()[0].name} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &errs)
		}
	}
}

func TestRunSelectsByName(t *testing.T) {
	var out, errs strings.Builder
	if code := run([]string{"-run", "for one|messages$"}, &out, &errs); code != 0 {
		t.Errorf("exit status %d\n%s%s", code, &out, &errs)
	}
	for _, sc := range scenarios() {
		selected := sc.name == "callers for one domain" || sc.name == "failures with long messages"
		if strings.Contains(out.String(), "\n"+sc.name+": ") != selected {
			t.Errorf("%q: want it to run: %t\n%s", sc.name, selected, &out)
		}
	}
}

func TestLongRepeats(t *testing.T) {
	var numbers []int
	var out strings.Builder
	again := scenario{"again", 1, 10, func(t *trial) error { numbers = append(numbers, t.n); return nil }}
	if code := soak(&out, []scenario{again}, tiny(time.Minute), 2*time.Second); code != 0 || len(numbers) < 2 || numbers[0] != 10 {
		t.Errorf("exit status %d, run with %v:\n%s", code, numbers, &out)
	}
}
