package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	emptyStore = 1<<20 + 64<<10 // the file of a store without entries: it grows by 1 MiB
	storeDisk  = 16 << 20       // free pages, and those of the last transactions
	// entryHeap is for one of Options.MemoryEntries: the answer for a domain without a policy, or
	// a policy of up to 1 KiB, with its Cause and its place in the LRU.
	entryHeap = 3 << 9
	// entryDisk is for one policy in the file: a record of 220 octets, in pages that are half
	// full at worst, and free pages.
	entryDisk = 1 << 10
	// largeHeap is for a policy of the largest size while it is fetched: the file, its patterns,
	// the entry and the record for the store.
	large       = 64 << 10
	largeHeap   = 640 << 10
	largeMemory = 4000                   // an Options.MemoryEntries that a few of these fill
	evicting    = 10 * time.Second       // the longest time until the quota is kept
	overshoot   = 2                      // times the quota, before that
	sizing      = 100 * time.Millisecond // between two readings of what is stored
	entryHead   = 45                     // the name, the id and the header of an entry
)

// absentDomains asks about domains without a policy, as most are. The cache has no more of them
// than its size, and the store has none.
func absentDomains(t *trial) error {
	t.record, t.none = func(int) string { return "" }, true
	return t.with(mtasts.Options{}, limits{
		open: reading{heap: int64(t.memory) * entryHeap},
		peak: reading{goroutines: 2 * workers},
		disk: emptyStore,
	}, t.all)
}

// publishedDomains asks about domains with a policy, and then again while no DNS server answers:
// the cache evicts, the store does not.
func publishedDomains(t *trial) error {
	return t.with(mtasts.Options{}, limits{
		open: reading{heap: int64(t.memory) * entryHeap},
		peak: reading{goroutines: 2*workers + saving},
		disk: int64(t.n)*entryDisk + storeDisk,
	}, func() {
		t.all()
		t.silent.Store(true)
		// The client answers from the store before it checks, so there can be more checks than
		// callers. Each group of callers waits for the checks of the last.
		rest, first := t.base.plus(reading{goroutines: 1, files: storeFiles}), 0 // the writer
		for ; first < t.n && t.meter.idle(rest, time.Now().Add(t.deadline)); first += saving {
			t.ask(first, min(saving, t.n-first))
		}
		t.bound("not asked again", int64(max(t.n-first, 0)), 0, count)
	})
}

// concurrentCallers ask about one domain at the same time. They share one TXT query and one GET.
func concurrentCallers(t *trial) error {
	var calling sync.WaitGroup // until all callers have started
	calling.Add(t.n)
	t.record = func(n int) string {
		calling.Wait()
		return published("1")(n)
	}
	err := t.with(mtasts.Options{}, limits{open: reading{heap: entryHeap}, peak: reading{goroutines: t.n}}, func() {
		t.each(t.n, t.n, func(int) bool {
			calling.Done()
			return t.right(0)
		})
	})
	t.bound("TXT queries", t.queries.Load(), 1, count)
	t.bound("GETs", t.requests.Load(), 1, count)
	return err
}

// largePolicies are files with the shortest patterns, which take more memory than their text.
func largePolicies(t *trial) error {
	head := "version: STSv1\nmode: enforce\nmax_age: 604800\n"
	text := head + strings.Repeat("mx:AB\n", (large-len(head))/len("mx:AB\n"))
	t.text = func(int) string { return strings.Clone(text) }
	return t.largeAnswers(t.world)
}

// longFailures are five kinds of answers that are not a policy, each with the longest text that
// an error could quote.
func longFailures(t *trial) error {
	var names []string
	for n := range 2000 {
		names = append(names, "a.long.name."+name(n))
	}
	other := testpki.Must(testpki.Must(testpki.New()).Issue(names...))
	long := func() string { return strings.Repeat("x", large) } // a new string, as if received
	t.none = true
	t.record = func(n int) string {
		if n%5 != 0 {
			return published("1")(n)
		}
		return published("1")(n) + strings.Repeat("a=b;", large/4) + "#"
	}
	return t.largeAnswers(roundTripper(func(req *http.Request) (*http.Response, error) {
		res, err := t.RoundTrip(req)
		switch number(req.Host) % 5 {
		case 1: // a file with a wrong value
			text := "version: STSv1\nmode: " + long()[100:]
			res.Body, res.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		case 2: // a certificate for 2,000 other names, parsed again as if received
			res.TLS.PeerCertificates[0], err = x509.ParseCertificate(other.Certificate[0])
		case 3:
			res.Header.Set("Content-Type", long())
		case 4: // not HTTP: an error of package net/http
			return nil, fmt.Errorf("net/http: malformed HTTP response %q", long())
		}
		return res, err
	}))
}

// largeAnswers asks about domains with answers of the largest size.
func (t *trial) largeAnswers(web http.RoundTripper) error {
	return t.with(mtasts.Options{Transport: web, MemoryEntries: largeMemory}, limits{
		open: reading{heap: largeMemory * entryHeap},
		peak: reading{heap: largeMemory*entryHeap + (workers+saving)*largeHeap},
	}, func() {
		// Callers do not wait for the disk, and the client drops what a slow disk cannot store.
		for first := 0; first < t.n; first += workers {
			t.ask(first, min(workers, t.n-first))
			t.written()
		}
	})
}

// fullStore floods a store with a quota: first with policies of mode testing, then with policies
// of mode enforce. The file stops growing. No policy that is in use and enforced is evicted for
// the others.
func fullStore(t *trial) error {
	// From the start a tenth is of mode enforce. It fills a quarter of the quota.
	t.text = func(n int) string {
		if n%10 == 0 || n >= t.n {
			return policy(n)
		}
		return strings.Replace(policy(n), "enforce", "testing", 1)
	}
	memory, quota := t.n/10, int64(len(policy(t.n))+entryHead)*int64(t.n)*4/10 // too small: the store must answer
	var mistaken atomic.Int64
	var flooded atomic.Bool
	var most int64 // stored at a time
	opts := mtasts.Options{MemoryEntries: memory, Quota: quota, Report: func(e mtasts.Event) {
		if e.Kind == mtasts.EventEvicted && e.Policy.Mode == mtasts.ModeEnforce {
			mistaken.Add(1)
		}
	}}
	err := t.with(opts, limits{
		open: reading{heap: int64(memory) * entryHeap, goroutines: 1}, // Run
		disk: 2*overshoot*quota + storeDisk,                           // pages are half full at worst
	}, func() {
		t.all()
		t.written()
		go t.client.Run(context.Background()) // until Close; its first scan of the store evicts
		start := time.Now()
		stored := size(t.store)
		for end := start.Add(evicting); stored > quota && time.Now().Before(end); stored = size(t.store) {
			time.Sleep(sizing)
		}
		var watch sync.WaitGroup
		watch.Go(func() {
			for done := false; !done; time.Sleep(sizing) {
				done = flooded.Load() // and once more after that
				most = max(most, size(t.store))
			}
		})
		t.bound("below the quota after", int64(time.Since(start)), int64(evicting), seconds)
		t.bound("stored", stored, quota, mib)
		t.silent.Store(true) // enforced policies come from the store
		t.each(t.n/10, workers, func(i int) bool { return t.right(10 * i) })
		t.silent.Store(false)
		t.ask(t.n, t.n)
		flooded.Store(true)
		watch.Wait()
	})
	t.bound("stored at most", most, overshoot*quota+(workers+saving)*entryDisk, mib)
	t.bound("evicted though enforced", mistaken.Load(), 0, count)
	return err
}

// size returns the octets of all entries of a store.
func size(file *cache.Bolt) (octets int64) {
	for after := ""; ; {
		keys, values, err := file.Scan(context.Background(), after, 1000)
		for i := range keys {
			octets += int64(len(keys[i]) + len(values[i]))
			after = keys[i]
		}
		if err != nil || len(keys) == 0 {
			return octets // if an entry cannot be read, its caller fails
		}
	}
}
