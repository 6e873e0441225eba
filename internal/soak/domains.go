package main

import (
	"context"

	"github.com/mtasts/go-mtasts/mtasts"
)

// absentDomains asks about domains that publish nothing, which most do not. Memory
// must hold no more of them than its size, and the store none.
func absentDomains(t *trial) error {
	client, err := mtasts.Open(t.path(), &mtasts.Options{Resolver: newDNS(absent), MemoryEntries: t.memory})
	if err != nil {
		return err
	}
	wrong := t.each(t.absent, workers, func(n int) bool {
		p, err := client.PolicyFor(context.Background(), name(n))
		return err == nil && p.Mode == mtasts.ModeNone
	})
	t.opened(store)
	t.bound("wrong answers", float64(wrong), 0, "")
	t.boundHeap(int64(t.memory) * entryHeap)
	t.boundGoroutines(2 * workers)
	t.bound("disk", mib(t.row.disk), mib(emptyStore), "MiB")
	return client.Close()
}

const (
	// emptyStore is the file of a store without entries.
	emptyStore = 64 << 10

	// entryDisk is what the file may have for each policy of the size here: a record of
	// 220 octets, in pages that are half full at worst, and pages that will be used
	// again.
	entryDisk = 1 << 10

	// storeDisk is by how much at a time the file grows.
	storeDisk = 16 << 20
)

// publishedDomains asks about domains that publish a policy each, and then once more
// when no DNS server answers: memory forgets, the store does not.
func publishedDomains(t *trial) error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	names := newDNS(published("1"))
	client, err := mtasts.Open(t.path(), &mtasts.Options{
		Resolver:      names,
		Transport:     &hosts{authority: authority, text: policy},
		RootCAs:       authority.ca.Pool(),
		MemoryEntries: t.memory,
	})
	if err != nil {
		return err
	}
	ask := func(n int) bool {
		p, err := client.PolicyFor(context.Background(), name(n))
		return enforces(p, err, n)
	}
	wrong := t.each(t.published, workers, ask)
	names.set(silent)
	wrong += t.each(t.published, workers, ask)
	t.opened(store)
	t.bound("wrong answers", float64(wrong), 0, "")
	t.boundHeap(int64(t.memory) * entryHeap)
	t.boundGoroutines(2*workers + saving)
	t.bound("disk", mib(t.row.disk), mib(int64(t.published)*entryDisk+storeDisk), "MiB")
	return client.Close()
}
