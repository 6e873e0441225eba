package cache_test

import (
	"context"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
)

// A look-up in an LRU allocates nothing.
func TestLRUGetDoesNotAllocate(t *testing.T) {
	l := cache.NewLRU[*int](10)
	l.Add("example.com", new(int), 1)
	if n := testing.AllocsPerRun(1000, func() { l.Get("example.com"); l.Get("example.net"); l.Peek("example.com") }); n != 0 {
		t.Errorf("Get and Peek allocate %v times", n)
	}
}

// A look-up in a Memory allocates the copy that it returns. One in a Bolt allocates little
// more than bbolt does.
func TestStoreGetAllocations(t *testing.T) {
	ctx := context.Background()
	for name, s := range bothStores(t) {
		if err := inHour(s, "example.com", "value"); err != nil {
			t.Fatal(err)
		}
		most := map[string]float64{"Memory": 1, "Bolt": 17}[name] // bbolt's own are 14
		if n := testing.AllocsPerRun(1000, func() { s.Get(ctx, "example.com") }); n > most {
			t.Errorf("%s: Get allocates %v times, want %v at most", name, n, most)
		}
	}
}
