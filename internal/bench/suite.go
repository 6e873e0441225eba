package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const module = "github.com/mtasts/go-mtasts"

// A suite is the compiled tests of the packages in a directory of its own, in which the
// benchmarks leave their files too.
type suite struct {
	dir         string
	directories map[string]string // of each package, in which its tests run
	valgrind    string            // "" if it is not installed
}

// build compiles the tests of the packages in rows, each once, into dir.
func build(ctx context.Context, dir string, rows []row) (*suite, error) {
	s := &suite{dir: dir, directories: make(map[string]string)}
	for _, r := range rows {
		s.directories[r.pkg] = ""
	}
	var args []string
	for pkg := range s.directories {
		directory, err := output(exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", path.Join(module, pkg)))
		if err != nil {
			return nil, err
		}
		s.directories[pkg] = strings.TrimSpace(directory)
		args = append(args, path.Join(module, pkg))
	}
	slices.Sort(args)
	args = append([]string{"test", "-c", "-o", dir + string(filepath.Separator)}, args...)
	if _, err := output(exec.CommandContext(ctx, "go", args...)); err != nil {
		return nil, err
	}
	s.valgrind, _ = exec.LookPath("valgrind")
	return s, nil
}

// run runs a benchmark once, for benchtime as -test.benchtime says it.
func (s *suite) run(ctx context.Context, pkg string, t trial, benchtime string) (figures, error) {
	cmd := s.command(ctx, pkg, t, benchtime)
	printed, err := output(cmd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.bench, err)
	}
	return parse(printed, t.line())
}

// instructions counts those that one operation executes: of two runs, one of which
// does it n times more, the difference. Nothing but the operations is in it, for
// garbage is not collected meanwhile and one thread runs at a time.
func (s *suite) instructions(ctx context.Context, pkg string, t trial, n int) (float64, error) {
	var counts [2]float64
	for i := range counts {
		cmd := s.command(ctx, pkg, t, strconv.Itoa((i+1)*n)+"x")
		cmd.Args = append([]string{s.valgrind, "--tool=callgrind", "--callgrind-out-file=" + os.DevNull, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = s.valgrind
		// The signals with which the runtime interrupts goroutines make callgrind fail
		// now and then.
		cmd.Env = append(cmd.Env, "GOGC=off", "GODEBUG=asyncpreemptoff=1")
		printed, err := output(cmd)
		if err == nil {
			counts[i], err = parseCallgrind(printed)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", t.bench, err)
		}
	}
	if counts[1] <= counts[0] {
		return 0, fmt.Errorf("%s: %.0f instructions for %d operations, but %.0f for %d", t.bench, counts[0], n, counts[1], 2*n)
	}
	return (counts[1] - counts[0]) / float64(n), nil
}

func (s *suite) command(ctx context.Context, pkg string, t trial, benchtime string) *exec.Cmd {
	cores := strconv.Itoa(t.cores())
	binary := path.Base(pkg) + ".test"
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.dir, binary),
		"-test.run=^$", "-test.bench="+t.pattern(), "-test.benchmem",
		"-test.benchtime="+benchtime, "-test.cpu="+cores, "-test.timeout=5m")
	cmd.Dir = s.directories[pkg]
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+cores, "TMPDIR="+s.dir)
	return cmd
}

// output runs cmd and returns all that it prints; the error has the end of it.
func output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// A process that ours has started may hold the output open.
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, lastLines(out.String()))
	}
	return out.String(), nil
}
