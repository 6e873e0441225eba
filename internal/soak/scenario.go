package main

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// sizes are how many of each, and how long.
type sizes struct {
	absent    int           // domains without a policy
	published int           // domains with one
	crowd     int           // concurrent callers for one domain
	dead      int           // domains whose policy host never answers, each with a caller
	learned   int           // domains with a remembered policy, whose host is dead now
	patience  time.Duration // of those callers
	fetches   int           // policies fetched over real connections
	wordy     int           // policy hosts whose answers are as large as can be
	flood     int           // policies for a store that has room for fewer
	memory    int           // Options.MemoryEntries
	settle    time.Duration // for goroutines that are about to end
	waitOut   bool          // wait for the end of what callers have left behind
}

var (
	short = sizes{
		absent:    1_000_000,
		published: 100_000,
		crowd:     10_000,
		dead:      10_000,
		learned:   1_000,
		patience:  5 * time.Second,
		fetches:   2_000,
		wordy:     2_000,
		flood:     10_000,
		memory:    1 << 16, // the default
		settle:    10 * time.Second,
	}
	larger = sizes{
		absent:    10_000_000,
		published: 1_000_000,
		crowd:     100_000,
		dead:      10_000, // or there would be more sockets than most systems allow
		learned:   1_000,
		patience:  10 * time.Second,
		fetches:   100_000,
		wordy:     10_000,
		flood:     300_000,
		memory:    1 << 16,
		settle:    10 * time.Second,
		waitOut:   true,
	}
)

// A scenario is something that could make a process grow.
type scenario struct {
	name string
	run  func(*trial) error
}

var scenarios = []scenario{
	{"domains without a policy", absentDomains},
	{"domains with a policy", publishedDomains},
	{"callers for one domain", crowd},
	{"callers for as many dead policy hosts", deadHosts},
	{"fetches over real connections", fetches},
	{"policies as large as can be", wordyPolicies},
	{"failures as wordy as can be", wordyFailures},
	{"more policies than the quota", fullStore},
}

const (
	// workers is how many callers there are where their number is not the point. It
	// is that of a busy mail server, and more than there are cores.
	workers = 64

	// heapSlack is what the process may keep for itself after all scenarios: tables
	// that are made on first use, and what pools hold. A leak of 8 octets for each
	// of a million domains breaks it.
	heapSlack = 4 << 20

	// goroutineHeap is what the runtime keeps of each goroutine that there ever was
	// at the same time, for those to come.
	goroutineHeap = 640

	// entryHeap is what one of Options.MemoryEntries may take: the answer for a domain that
	// has no policy, or one of up to 1 KiB, its Cause, and its place in the LRU.
	entryHeap = 3 << 9

	// saving is how many policies at a time are being stored: when they have been
	// answered, and when that was put off.
	saving = 256 + 64

	// goroutineSlack is for the goroutines of the program itself, and those that have
	// done their work and are just ending.
	goroutineSlack = 32
)

// A trial is a scenario being played.
type trial struct {
	sizes
	dir   string
	meter *meter
	base  reading
	calls atomic.Int64
	row   *row
}

// path is where the store is.
func (t *trial) path() string { return filepath.Join(t.dir, "policies.db") }

// bound adds a bound to the row.
func (t *trial) bound(what string, got, most float64, unit string) {
	t.row.bounds = append(t.row.bounds, bound{what: what, got: got, most: most, unit: unit})
}

// boundCount is bound for what a column of the table shows.
func (t *trial) boundCount(what string, got, most int) {
	t.row.bounds = append(t.row.bounds, bound{what: what, got: float64(got), most: float64(most), shown: true})
}

// boundGoroutines bounds how many there were at a time, besides those of the program.
func (t *trial) boundGoroutines(most int) {
	t.bound("goroutines peak", float64(t.meter.peak().goroutines), float64(t.base.goroutines+goroutineSlack+most), "")
}

// boundHeap bounds what has come to be held while the client is open.
func (t *trial) boundHeap(most int64) {
	most += heapSlack + int64(t.meter.peak().goroutines)*goroutineHeap
	t.bound("heap open", mib(t.row.open.heap-t.row.before.heap), mib(most), "MiB")
}

// boundPeak bounds what had come to be in use at a time. The collector lets the heap
// grow to twice of what it found in use.
func (t *trial) boundPeak(most int64) {
	most += t.row.before.heap + heapSlack
	t.bound("heap peak", mib(t.meter.peak().heap-t.row.before.heap), mib(2*most), "MiB")
}

// opened is called when the work is done and the client still open. Behind it there
// may be more goroutines and files than at the start, by extra.
func (t *trial) opened(extra reading) {
	want := t.base.plus(extra)
	t.row.open = t.meter.settled(want, t.settle)
	for _, path := range []string{t.path(), t.path() + "-wal"} {
		if info, err := os.Stat(path); err == nil {
			t.row.disk += info.Size()
		}
	}
	t.boundCount("goroutines open", t.row.open.goroutines, want.goroutines)
	t.boundCount("files open", t.row.open.files, want.files)
}

// store is what an open client has open: the file of its store, and the log beside it.
var store = reading{files: 2}

// each calls f with the numbers below n, from a number of goroutines, and returns how
// often it returned false.
func (t *trial) each(n, workers int, f func(i int) bool) (wrong int64) {
	var next, failures atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if !f(i) {
					failures.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.calls.Add(int64(n))
	return failures.Load()
}

// enforces reports whether p is the policy of domain n.
func enforces(p *mtasts.Policy, err error, n int) bool {
	return err == nil && p.Mode == mtasts.ModeEnforce && p.Text == policy(n)
}

// highest keeps the highest of durations.
type highest struct{ nanoseconds atomic.Int64 }

func (h *highest) note(d time.Duration) {
	for {
		old := h.nanoseconds.Load()
		if int64(d) <= old || h.nanoseconds.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

func (h *highest) seconds() float64 { return time.Duration(h.nanoseconds.Load()).Seconds() }
