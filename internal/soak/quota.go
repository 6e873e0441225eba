package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	// overshoot is how many times the quota may be stored while room is being made,
	// which takes time.
	overshoot = 2

	// pageWaste is how much larger the file is than what is stored in it: pages are half
	// full at worst, and those that were given up wait to be used again.
	pageWaste = 2

	// making is how long making room may take once nothing more comes in.
	making = 10 * time.Second

	// sizing is the time between two looks at how much is stored.
	sizing = 100 * time.Millisecond
)

// fullStore floods a store that has a quota with policies that protect nothing, then
// with such as do. The file stops growing, and no policy that is in use and enforces is
// given up for the others.
func fullStore(t *trial) error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	// A tenth enforce from the start. They are a quarter of the quota.
	protects := func(n int) bool { return n%10 == 0 || n >= t.flood }
	text := func(n int) string {
		if protects(n) {
			return policy(n)
		}
		return strings.Replace(policy(n), "enforce", "testing", 1)
	}
	octets := int64(len(text(t.flood))+quotaEntry) * int64(t.flood)
	quota := octets * 4 / 10
	file, err := cache.OpenBolt(t.path())
	if err != nil {
		return err
	}
	names := newDNS(published("1"))
	var mistaken atomic.Int64
	client := mtasts.New(file, &mtasts.Options{
		Resolver:      names,
		Transport:     &hosts{authority: authority, text: text},
		RootCAs:       authority.ca.Pool(),
		MemoryEntries: t.flood / 10, // so that it is the store that remembers
		Quota:         quota,
		Report: func(e mtasts.Event) {
			if e.Kind == mtasts.EventEvicted && e.Policy.Mode == mtasts.ModeEnforce {
				mistaken.Add(1)
			}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- client.Run(ctx) }()

	ask := func(n int) bool {
		p, err := client.PolicyFor(context.Background(), name(n))
		return err == nil && p.Text == text(n)
	}
	most := watchSize(file)
	wrong := t.each(t.flood, workers, ask)
	start := time.Now()
	stored := size(file)
	for end := start.Add(making); stored > quota && time.Now().Before(end); stored = size(file) {
		time.Sleep(sizing)
	}
	room := time.Since(start)
	names.set(silent) // whatever enforces is remembered
	wrong += t.each(t.flood/10, workers, func(n int) bool { return ask(10 * n) })
	names.set(published("1"))
	wrong += t.each(t.flood, workers, func(n int) bool { return ask(t.flood + n) })
	peak := most()
	t.opened(reading{goroutines: 3, files: store.files}) // Run, its walks, and who tries again what was put off
	t.bound("wrong answers", float64(wrong), 0, "")
	t.bound("given up that enforce", float64(mistaken.Load()), 0, "")
	t.bound("stored", mib(stored), mib(quota), "MiB")
	t.bound("room made in", room.Seconds(), making.Seconds(), "s")
	t.bound("stored at most", mib(peak), mib(overshoot*quota+(workers+saving)*entryDisk), "MiB")
	t.bound("disk", mib(t.row.disk), mib(overshoot*pageWaste*quota+storeDisk), "MiB")
	t.boundHeap(int64(t.flood) / 10 * entryHeap)
	cancel()
	return errors.Join(<-ran, client.Close())
}

// quotaEntry is what an entry has besides the text: its name, its id, and a head.
const quotaEntry = 45

// watchSize looks at the size of a store until the function that it returns is called,
// which returns the highest.
func watchSize(file *cache.Bolt) (stop func() int64) {
	done, most := make(chan struct{}), make(chan int64)
	go func() {
		ticker := time.NewTicker(sizing)
		defer ticker.Stop()
		for highest := int64(0); ; {
			highest = max(highest, size(file))
			select {
			case <-ticker.C:
			case <-done:
				most <- max(highest, size(file))
				return
			}
		}
	}()
	return func() int64 {
		close(done)
		return <-most
	}
}

// size is how many octets of entries a store has.
func size(file *cache.Bolt) (octets int64) {
	const batch = 1000
	for after := ""; ; {
		keys, values, err := file.Scan(context.Background(), after, batch)
		for i := range keys {
			octets += int64(len(keys[i]) + len(values[i]))
		}
		if err != nil || len(keys) < batch {
			return octets // what cannot be read is found by those who ask for it
		}
		after = keys[len(keys)-1]
	}
}
