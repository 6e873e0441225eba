package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
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
	workers        = 64       // callers of a busy mail server
	saving         = 256 + 64 // writes at a time: those in progress, and those that wait
	storeFiles     = 1        // of an open store
	goroutineSlack = 32       // of the program itself, and those that are ending
	// heapSlack is what the process may keep after all scenarios, in tables and pools. A leak of
	// 8 octets for each of a million domains breaks it. The runtime also keeps goroutineHeap for
	// each goroutine of the peak.
	heapSlack     = 4 << 20
	goroutineHeap = 640
)

// A trial is a run of a scenario, with its figures.
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
	err                       error // why the scenario could not run
}

// play runs the scenario. ever is the peak of goroutines before it.
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
	// The base is the start of the program, so that the leaks of all scenarios add up.
	t.bound("heap closed", t.closed.heap, t.base.heap+heapSlack+int64(max(ever, t.peak.goroutines))*goroutineHeap, mib)
	t.boundOpen("closed", t.closed, t.base)
}

// limits are bounds on top of what the program has at the start and the files of the store. A
// heap of 0 is no bound, and so is any 0 in peak.
type limits struct {
	open reading // after the work, with the client open
	peak reading // at a time
	disk int64   // octets in the files of the store
}

// with opens a client with the store of the trial, calls work, measures, and closes the client.
func (t *trial) with(opts mtasts.Options, l limits, work func()) error {
	store, err := cache.OpenBolt(t.path)
	if err != nil {
		return err
	}
	opts.Resolver, opts.RootCAs = t.world, t.ca.Pool()
	opts.MemoryEntries = cmp.Or(opts.MemoryEntries, t.memory)
	opts.Transport = cmp.Or[http.RoundTripper](opts.Transport, t.world)
	t.store, t.client = store, mtasts.New(store, &opts)
	work()
	t.measure(l)
	start := time.Now()
	err = t.client.Close()
	t.closing = time.Since(start)
	t.client, t.store = nil, nil // so that they can be collected
	return err
}

// written waits until the client has written all.
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
	if info, err := os.Stat(t.path); err == nil {
		t.disk = info.Size()
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
	// The collector lets the heap grow to twice what was in use.
	bound("heap peak", peak.heap-t.start.heap, 2*l.peak.heap, 2*(t.start.heap+heapSlack), mib)
	bound("disk", t.disk, l.disk, 0, mib)
}

// each calls f with the numbers below n, on workers goroutines. A false of f counts as a wrong
// answer. It returns the time of the longest call.
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

// ask asks about n domains from the first on, and all about those of the scenario.
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

// A bound is a figure and its limit.
type bound struct {
	what      string
	got, most int64
	unit      unit
}

// A unit is the divisor for printing.
type unit int64

const (
	count   = unit(1)
	mib     = unit(1 << 20)
	seconds = unit(time.Second)
)

// of returns n in this unit, with two decimal places.
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

// broken returns a line for each broken bound.
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
