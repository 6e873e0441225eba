// Command bench compares what the library costs with the least that the same
// work can cost, and says whether the targets hold:
//
//	go run ./internal/bench           # all rows, less than ten minutes on two cores
//	go run ./internal/bench -short    # as CI runs it: less than a minute
//	go run ./internal/bench -run Bolt # only the rows whose name matches
//	go run ./internal/bench -scale 10000000 # a store of so many domains instead
//
// The benchmarks are those of the packages: each has a floor in the same file, a
// lower bound for the same work written by hand, or a peer, which is another
// program's code. Here they are only run: ours, floor, ours, floor and so on, each
// time in a process of its own. How fast a shared machine is changes from one second
// to the next; so what counts is the ratio within a round, and of the rounds the
// median. The rounds of a row are spread over all the time that there is, in three
// passes, so that ten bad seconds spoil a few of many rows and not all of one.
//
// With -short, only allocations and instructions decide, which are the same on any
// machine. Instructions are counted where valgrind is installed.
//
// The last line is the verdict; the exit status is 1 if a target does not hold, and 2
// if nothing could be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	short := flags.Bool("short", false, "let only allocations and instructions decide, in less than a minute")
	pattern := flags.String("run", "", "run only the rows whose name matches this `regexp`")
	domains := flags.Int("scale", 0, "instead of the rows, make a store of `n` domains and measure it")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 || *domains < 0 {
		fmt.Fprintln(stderr, "bench: takes no arguments, only flags, and -scale must not be negative")
		return 2
	}
	if *domains != 0 {
		if err := scale(stdout, *domains); err != nil {
			fmt.Fprintln(stderr, "bench:", err)
			return 2
		}
		return 0
	}
	chosen, err := choose(rows, *pattern)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	p := full
	if *short {
		p = quick
	}
	held, all, err := bench(ctx, stdout, chosen, p)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	fmt.Fprintf(stdout, "%d of %d targets hold\n", held, all)
	if held < all {
		return 1
	}
	return 0
}

// choose returns the rows whose name matches pattern, of which there must be one.
func choose(rows []row, pattern string) (chosen []row, err error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	for _, r := range rows {
		if re.MatchString(r.name) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-run: no row has a name that matches %q", pattern)
	}
	return chosen, nil
}

// bench measures the rows, prints the table and counts the targets.
func bench(ctx context.Context, out io.Writer, rows []row, p plan) (held, all int, err error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	s, err := build(ctx, dir, rows)
	if err != nil {
		return 0, 0, err
	}
	if s.valgrind == "" {
		fmt.Fprintln(out, "valgrind is not installed, so that instructions are not counted")
	}
	m := newMeter(s, p)
	for pass := 1; pass < p.passes; pass++ {
		fmt.Fprintf(out, "pass %d of %d; the table comes with the last\n", pass, p.passes)
		for _, r := range rows {
			m.play(ctx, r, pass)
		}
	}
	printHead(out)
	for _, r := range rows {
		m.play(ctx, r, p.passes)
		res := m.measure(ctx, r)
		if ctx.Err() != nil {
			return 0, 0, errors.New("interrupted")
		}
		printRow(out, r, res, p)
		for _, t := range targets(r, res, p) {
			all++
			if t.holds() {
				held++
			}
		}
	}
	return held, all, nil
}
