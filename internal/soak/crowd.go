package main

import (
	"context"
	"sync"

	"github.com/mtasts/go-mtasts/mtasts"
)

// crowd has many callers ask about one domain at the same moment. They share one TXT
// query and one GET.
func crowd(t *trial) error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	var calling sync.WaitGroup // all callers but for their calls
	calling.Add(t.crowd)
	names := newDNS(func(ctx context.Context, n int) ([]string, error) {
		calling.Wait()
		return published("1")(ctx, n)
	})
	web := &hosts{authority: authority, text: policy}
	client, err := mtasts.Open(t.path(), &mtasts.Options{
		Resolver: names, Transport: web, RootCAs: authority.ca.Pool(), MemoryEntries: t.memory,
	})
	if err != nil {
		return err
	}
	wrong := t.each(t.crowd, t.crowd, func(int) bool {
		calling.Done()
		p, err := client.PolicyFor(context.Background(), name(0))
		return enforces(p, err, 0)
	})
	t.opened(store)
	t.bound("TXT queries", float64(names.queries.Load()), 1, "")
	t.bound("GETs", float64(web.requests.Load()), 1, "")
	t.bound("wrong answers", float64(wrong), 0, "")
	t.boundGoroutines(t.crowd)
	t.boundHeap(entryHeap)
	return client.Close()
}
