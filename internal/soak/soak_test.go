package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/leak"
	"github.com/mtasts/go-mtasts/mtasts"
)

func TestMain(m *testing.M) { leak.Main(m) }

// tiny is small enough for a test, and too small to say something about the library.
var tiny = sizes{
	absent:    2_000,
	published: 300,
	crowd:     200,
	dead:      50,
	learned:   20,
	patience:  200 * time.Millisecond,
	fetches:   50,
	wordy:     20,
	flood:     500,
	memory:    256,
	settle:    time.Second,
}

func TestAllBoundsHoldInEveryScenario(t *testing.T) {
	var out strings.Builder
	if code := soak(&out, scenarios, tiny, 0); code != 0 {
		t.Fatalf("exit status %d:\n%s", code, &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2+len(scenarios)+1 {
		t.Fatalf("%d lines, want a head of two, %d rows and a verdict:\n%s", len(lines), len(scenarios), &out)
	}
	for i, s := range scenarios {
		if row := lines[2+i]; !strings.HasPrefix(row, s.name+" ") || !strings.Contains(row, " holds ") {
			t.Errorf("the row of %q is %q", s.name, row)
		}
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "all ") || !strings.HasSuffix(last, " bounds hold") {
		t.Errorf("the last line is %q", last)
	}
}

// broken plays one scenario and demands that it breaks the bound of this name.
func broken(t *testing.T, name string, run func(*trial) error) {
	t.Helper()
	var out strings.Builder
	code := soak(&out, []scenario{{"one that must fail", run}}, tiny, 0)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := lines[len(lines)-1]
	if code != 1 || !strings.Contains(out.String(), "one that must fail: "+name) || !strings.HasSuffix(last, " bounds broke") {
		t.Errorf("exit status %d; want 1, because of %q:\n%s", code, name, &out)
	}
}

func TestABrokenBoundIsExitStatusOne(t *testing.T) {
	var kept [][]byte
	var files []*os.File
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
	if m := new(meter); m.openFiles() > 0 { // where the system tells
		broken(t, "files closed", func(t *trial) error {
			f, err := os.Create(filepath.Join(t.dir, "left open"))
			files = append(files, f)
			return err
		})
	}
	for _, f := range files {
		f.Close()
	}
	broken(t, "goroutines open", func(t *trial) error {
		client, err := mtasts.Open(t.path(), &mtasts.Options{Resolver: newDNS(absent)})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		ran := make(chan error)
		go func() { ran <- client.Run(ctx) }()
		t.opened(store)
		cancel()
		return errors.Join(<-ran, client.Close())
	})
	broken(t, "heap open", func(t *trial) error {
		t.memory = 1 // and yet it is held
		answers := make([]*mtasts.Policy, 0, 20_000)
		client, err := mtasts.Open(t.path(), &mtasts.Options{Resolver: newDNS(absent)})
		if err != nil {
			return err
		}
		for n := range cap(answers) {
			p, err := client.PolicyFor(context.Background(), name(n))
			if err != nil {
				return err
			}
			answers = append(answers, p)
		}
		t.opened(store)
		t.boundHeap(int64(t.memory) * entryHeap)
		return client.Close()
	})
	broken(t, "the scenario is impossible", func(*trial) error { return errors.New("the scenario is impossible") })
}

func TestWrongFlagsAreExitStatusTwo(t *testing.T) {
	for _, args := range [][]string{{"-long", "4"}, {"-short"}, {"4h"}} {
		var out, errs strings.Builder
		if code := run(args, &out, &errs); code != 2 || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("%q: exit status %d, output %q, errors %q", args, code, &out, &errs)
		}
	}
}

func TestTheLongFormGoesOn(t *testing.T) {
	played := 0
	var out strings.Builder
	again := scenario{"again", func(t *trial) error { played++; return nil }}
	if code := soak(&out, []scenario{again}, tiny, 2*time.Second); code != 0 || played < 2 {
		t.Errorf("exit status %d, played %d times:\n%s", code, played, &out)
	}
}
