// Command soak shows that memory, goroutines, open files and disk stay bounded,
// whatever strangers publish and however many domains a sender mails:
//
//	go run ./internal/soak             # as CI runs it: less than a minute on two cores
//	go run ./internal/soak -long 4h    # ten times the numbers, again and again
//
// Each scenario is a line of a table: what there was before, the most that there
// ever was, what there was when the work was done and the client still open, and
// what was left when it was closed. Heap is what is in use, after a garbage
// collection except for the peak. The bounds are constants, each with its reason.
// The last line is the verdict; the exit status is 1 if a bound broke.
//
// The DNS and most policy hosts are functions in this process. Where sockets are
// what counts, they are real ones on the loopback interface.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(stderr)
	long := flags.Duration("long", 0, "go on for this `long`, with larger numbers")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintln(stderr, "soak: there are no arguments, only flags")
		return 2
	}
	s := short
	if *long > 0 {
		s = larger
	}
	return soak(stdout, scenarios, s, *long)
}

// soak runs the scenarios, again until the time is over, and returns the exit status.
func soak(out io.Writer, scenarios []scenario, s sizes, long time.Duration) int {
	m := newMeter()
	defer m.stop()
	base := m.read()
	held := 0
	var broken []string
	printHead(out)
	for end := time.Now().Add(long); ; {
		for _, sc := range scenarios {
			r := measure(m, base, sc, s)
			printRow(out, r)
			for _, b := range r.bounds {
				if b.holds() {
					held++
				} else {
					broken = append(broken, sc.name+": "+b.String())
				}
			}
			if r.err != nil {
				broken = append(broken, fmt.Sprintf("%s: %v", sc.name, r.err))
			}
		}
		if !time.Now().Before(end) {
			break
		}
	}
	if len(broken) == 0 {
		fmt.Fprintf(out, "all %d bounds hold\n", held)
		return 0
	}
	for _, b := range broken {
		fmt.Fprintln(out, "broke:", b)
	}
	fmt.Fprintf(out, "%d of %d bounds broke\n", len(broken), held+len(broken))
	return 1
}

// measure runs one scenario in a directory of its own.
func measure(m *meter, base reading, sc scenario, s sizes) row {
	r := row{name: sc.name, before: m.settled(base, s.settle)}
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		r.err = err
		return r
	}
	defer os.RemoveAll(dir)
	m.restart()
	start := time.Now()
	t := &trial{sizes: s, dir: dir, meter: m, base: base, row: &r}
	r.err = sc.run(t)
	r.time, r.calls = time.Since(start), t.calls.Load()
	r.peak = m.peak()
	r.closed = m.settled(base, s.settle)
	// Against the start of the program, so that what each scenario leaks adds up.
	t.bound("heap closed", mib(r.closed.heap), mib(base.heap+heapSlack+int64(m.ever())*goroutineHeap), "MiB")
	t.boundCount("goroutines closed", r.closed.goroutines, base.goroutines)
	t.boundCount("files closed", r.closed.files, base.files)
	return r
}
