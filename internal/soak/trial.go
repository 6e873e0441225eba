package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	workers        = 64       // callers, where their number is not the point: those of a busy mail server
	saving         = 256 + 64 // writes at a time: once they are answered, and those left for later
	storeFiles     = 2        // of an open store: its file, and the log beside it
	goroutineSlack = 32       // those of the program itself, and those that are just ending
	// heapSlack is what the process may keep for itself after all scenarios: tables made on
	// first use, and what pools hold. A leak of 8 octets for each of a million domains
	// breaks it. Of each goroutine that there ever was at a time the runtime keeps more.
	heapSlack     = 4 << 20
	goroutineHeap = 640
)

// A trial is a scenario that is being run, and what it has shown.
type trial struct {
	scenario
	settings
	*world
	meter        *meter
	base         reading // before all scenarios
	path         string  // of the store
	store        *cache.Bolt
	client       *mtasts.Client
	none         bool // the right answer is that there is no policy
	calls, wrong atomic.Int64

	start, peak, open, closed reading
	took, closing             time.Duration
	disk                      int64
	bounds                    []bound
	err                       error // the scenario could not be run
}

// play runs the scenario. There were ever so many goroutines at a time before.
func (t *trial) play(ever int) {
	t.start = t.meter.settled(t.base, t.deadline)
	dir, err := os.MkdirTemp("", "soak-")
	defer os.RemoveAll(dir)
	t.path = filepath.Join(dir, "policies.db")
	t.world = newWorld()
	start := time.Now()
	if t.err = err; err == nil {
		t.err = t.run(t)
	}
	t.took = time.Since(start)
	_, t.peak = t.meter.sample(false)
	t.closed = t.meter.settled(t.base, t.deadline)
	t.bound("wrong answers", t.wrong.Load(), 0, count)
	// Against the start of the program, so that what each scenario leaks adds up.
	t.bound("heap closed", t.closed.heap, t.base.heap+heapSlack+int64(max(ever, t.peak.goroutines))*goroutineHeap, mib)
	t.boundOpen("closed", t.closed, t.base)
}

// limits are the most that there may be besides what the program has at the start and the
// files of the store. Where the heap, or anything of peak, is 0, it is not bounded.
type limits struct {
	open reading // when the work is done and the client still open
	peak reading // at a time
	disk int64   // octets in the files of the store
}

// with opens a client on the store of the trial, has work done, measures, and closes it.
func (t *trial) with(opts mtasts.Options, l limits, work func()) error {
	store, err := cache.OpenBolt(t.path)
	if err != nil {
		return err
	}
	opts.Resolver, opts.RootCAs = t.world, t.ca.Pool()
	opts.MemoryEntries = cmp.Or(opts.MemoryEntries, t.memory)
	if opts.Transport == nil {
		opts.Transport = t.world
	}
	t.store, t.client = store, mtasts.New(store, &opts)
	work()
	t.measure(l)
	start := time.Now()
	err = t.client.Close()
	t.closing = time.Since(start)
	t.client, t.store = nil, nil // so that what is left shows
	return err
}

// written waits until the writer has nothing to do.
func (t *trial) written() {
	for end := time.Now().Add(t.deadline); t.client.Stats().Unsaved > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func (t *trial) measure(l limits) {
	l.open.files += storeFiles
	l.open.goroutines++ // the writer
	want := t.base.plus(l.open)
	t.open = t.meter.settled(want, t.deadline)
	t.disk = 0
	if info, err := os.Stat(t.path); err == nil {
		t.disk += info.Size()
	}
	_, peak := t.meter.sample(false)
	t.boundOpen("open", t.open, want)
	bound := func(what string, got, limit, slack int64, u unit) {
		if limit > 0 {
			t.bound(what, got, limit+slack, u)
		}
	}
	bound("goroutines peak", int64(peak.goroutines), int64(l.peak.goroutines), int64(t.base.goroutines+goroutineSlack), count)
	bound("files peak", int64(peak.files), int64(l.peak.files), int64(t.base.files+storeFiles), count)
	bound("heap open", t.open.heap-t.start.heap, l.open.heap, heapSlack+int64(peak.goroutines)*goroutineHeap, mib)
	// The collector lets the heap grow to twice of what it found in use.
	bound("heap peak", peak.heap-t.start.heap, 2*l.peak.heap, 2*(t.start.heap+heapSlack), mib)
	bound("disk", t.disk, l.disk, 0, mib)
}

// each calls f with the numbers below n, from a number of goroutines, and counts as wrong
// answers how often it returns false. It returns the longest that a call took.
func (t *trial) each(n, workers int, f func(i int) bool) time.Duration {
	var next atomic.Int64
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				start := time.Now()
				if !f(i) {
					t.wrong.Add(1)
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	t.calls.Add(int64(n))
	return slices.Max(took)
}

// ask asks about n domains, from the first on, and all about those of the scenario.
func (t *trial) ask(first, n int) {
	t.each(n, workers, func(i int) bool { return t.right(first + i) })
}
func (t *trial) all() { t.ask(0, t.n) }

// right asks about domain n, and reports whether the answer is right.
func (t *trial) right(n int) bool {
	p, err := t.client.PolicyFor(context.Background(), name(n))
	if err != nil || t.none {
		return err == nil && p.Mode == mtasts.ModeNone
	}
	return p.Text == t.text(n) && strings.Contains(p.Text, "mode: "+string(p.Mode))
}

// A bound is a figure and the most that it may be.
type bound struct {
	what      string
	got, most int64
	unit      unit
}

// A unit is how many make one that is printed.
type unit int64

const (
	count   = unit(1)
	mib     = unit(1 << 20)
	seconds = unit(time.Second)
)

// of is n in this unit, with two digits after the point.
func (u unit) of(n int64) float64 { return math.Round(float64(n)/float64(u)*100) / 100 }

func (t *trial) bound(what string, got, most int64, u unit) {
	t.bounds = append(t.bounds, bound{what, got, most, u})
}

// boundOpen bounds the goroutines and open files of a column of the table.
func (t *trial) boundOpen(column string, got, most reading) {
	t.bound("goroutines "+column, int64(got.goroutines), int64(most.goroutines), count)
	t.bound("files "+column, int64(got.files), int64(most.files), count)
}

func (b bound) holds() bool { return b.got <= b.most }

func (b bound) String() string {
	sign := map[bool]string{true: "<=", false: ">"}[b.holds()]
	name := map[unit]string{mib: " MiB", seconds: " s"}[b.unit]
	return fmt.Sprint(b.what, " ", b.unit.of(b.got), " ", sign, " ", b.unit.of(b.most), name)
}

// broken says what went wrong, a line for each.
func (t *trial) broken() (lines []string) {
	for _, b := range t.bounds {
		if !b.holds() {
			lines = append(lines, t.name+": "+b.String())
		}
	}
	if t.err != nil {
		lines = append(lines, t.name+": "+strings.ReplaceAll(t.err.Error(), "\n", "; "))
	}
	return lines
}

// The table is for a terminal of 80 columns.
const tableHead = `
               heap, MiB                  goroutines               open files
 start  peak  open closed  start   peak   open closed start  peak  open closed
`

func (t *trial) print(out io.Writer) {
	verdict := map[bool]string{true: "holds", false: "BROKEN"}[len(t.broken()) == 0]
	fmt.Fprintf(out, "\n%s: %d calls, %.1f s, %.1f MiB on disk: %s\n", t.name, t.calls.Load(), t.took.Seconds(), mib.of(t.disk), verdict)
	fmt.Fprintf(out, "%6.1f%6.1f%6.1f%7.1f", mib.of(t.start.heap), mib.of(t.peak.heap), mib.of(t.open.heap), mib.of(t.closed.heap))
	fmt.Fprintf(out, "%7d%7d%7d%7d", t.start.goroutines, t.peak.goroutines, t.open.goroutines, t.closed.goroutines)
	fmt.Fprintf(out, "%6d%6d%6d%7d", t.start.files, t.peak.files, t.open.files, t.closed.files)
	for i, b := range t.bounds {
		fmt.Fprintf(out, []string{"\n  %-38s", "%s"}[i%2], b)
	}
	fmt.Fprintln(out)
}
