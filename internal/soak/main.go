// Command soak measures whether memory, goroutines, open files and disk stay bounded, for any
// number of recipient domains and whatever they publish:
//
//	go run ./internal/soak               # as CI runs it
//	go run ./internal/soak -run quota    # only the scenarios whose name matches
//	go run ./internal/soak -long 4h      # larger numbers, again and again
//
// For each scenario it prints figures of four moments: the start, the peak, the end of the work
// with the client open, and after Close. Heap is what is in use, after a garbage collection but
// for the peak. The bounds follow. They are constants, each with its reason. The last line is
// the verdict. The exit status is 1 if a bound broke, and 2 if the flags are wrong.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A scenario is a load that could make a process grow.
type scenario struct {
	name    string
	n, long int // the number of domains or callers, without -long and with it
	run     func(*trial) error
}

func scenarios() []scenario {
	return []scenario{
		{"domains without a policy", 1_000_000, 10_000_000, absentDomains},
		{"domains with a policy", 100_000, 1_000_000, publishedDomains},
		{"callers for one domain", 10_000, 100_000, concurrentCallers},
		{"policy hosts that never answer", 10_000, 10_000, deadHosts}, // more would need too many sockets
		{"fetches over real connections", 2_000, 100_000, fetches},
		{"policies of the largest size", 2_000, 10_000, largePolicies},
		{"failures with long messages", 2_000, 10_000, longFailures},
		{"more policies than the quota", 10_000, 300_000, fullStore},
	}
}

// settings are the same for all scenarios.
type settings struct {
	memory   int           // Options.MemoryEntries
	patience time.Duration // the deadline of callers whose policy host never answers
	waitOut  bool          // wait until their look-ups have ended
	deadline time.Duration // the longest wait until the process is idle, before a reading
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(stderr)
	long := flags.Duration("long", 0, "repeat with larger numbers until this `time` is over, such as 4h")
	names := "the scenarios are"
	for _, sc := range scenarios() {
		names += "\n  " + sc.name
	}
	pattern := flags.String("run", "", "run only the scenarios whose name matches `regexp`; "+names)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	re, err := regexp.Compile(*pattern)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q; see -h", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(stderr, "soak:", err)
		return 2
	}
	// A fetch, and a wait before another Write, takes at most a minute.
	s := settings{memory: 1 << 16, patience: 5 * time.Second, deadline: 3 * time.Minute}
	if *long > 0 {
		s.patience, s.waitOut = 10*time.Second, true
	}
	chosen := slices.DeleteFunc(scenarios(), func(sc scenario) bool { return !re.MatchString(sc.name) })
	if len(chosen) == 0 {
		fmt.Fprintf(stderr, "soak: no scenario matches -run %q; %s\n", *pattern, names)
		return 2
	}
	return soak(stdout, chosen, s, *long)
}

// soak runs the scenarios, again and again until the time is over. It returns the exit status.
func soak(out io.Writer, scenarios []scenario, s settings, long time.Duration) int {
	m := newMeter()
	base := m.read()
	m.stop()
	all, ever, again := 0, 0, true
	var broken []string
	fmt.Fprint(out, tableHead)
	for end := time.Now().Add(long); again; again = time.Now().Before(end) {
		for _, sc := range scenarios {
			if long > 0 {
				sc.n = sc.long
			}
			t := &trial{scenario: sc, settings: s, meter: newMeter(), base: base}
			t.play(ever)
			t.meter.stop()
			ever = max(ever, t.peak.goroutines)
			t.print(out)
			all += len(t.bounds)
			broken = append(broken, t.broken()...)
		}
	}
	if len(broken) == 0 {
		fmt.Fprintf(out, "\nall %d bounds hold\n", all)
		return 0
	}
	fmt.Fprintf(out, "\nbroke: %s\n%d of %d bounds broke\n", strings.Join(broken, "\nbroke: "), len(broken), all)
	return 1
}
