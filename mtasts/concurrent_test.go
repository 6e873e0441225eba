package mtasts_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// Everything at once, for the race detector: callers, violations, publishers and attackers,
// a memory that is too small, and at the end several calls of Close. All the time, each
// answer must enforce.
func TestEverythingAtOnce(t *testing.T) {
	const domains = 20
	w := mtaststest.NewWorld()
	publish := func(n int, id string) {
		w.Publish(fmt.Sprintf("d%d.example", n), id, mtaststest.Policy(mtasts.ModeEnforce, week, fmt.Sprintf("mx.d%d.example", n)))
	}
	for n := range domains {
		publish(n, "1")
	}
	opts := w.Options()
	opts.MemoryEntries = domains / 2
	opts.CheckInterval = time.Microsecond
	store := new(cache.Memory)
	client := mtasts.New(store, opts)
	for n := range domains {
		if _, err := client.PolicyFor(t.Context(), fmt.Sprintf("d%d.example", n)); err != nil {
			t.Fatal(err)
		}
	}

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 300 {
				n := rand.IntN(domains)
				name := fmt.Sprintf("d%d.example", n)
				switch rand.IntN(10) {
				case 0:
					publish(n, fmt.Sprint(rand.IntN(1000)))
					continue
				case 1:
					w.DNS.Set("_mta-sts."+name, resolver.Records{Fail: resolver.Failure(rand.IntN(3))})
					continue
				}
				if rand.IntN(10) == 0 {
					if p, err := client.Recheck(t.Context(), name); err == nil && p.Mode != mtasts.ModeEnforce {
						t.Errorf("%s, Recheck: %+v", name, p)
					}
					continue
				}
				p, err := client.PolicyFor(t.Context(), name)
				if err != nil || p.Mode != mtasts.ModeEnforce {
					t.Errorf("%s: %+v, %v", name, p, err)
					return
				}
				if _, err := p.CheckMX("evil.example"); !errors.Is(err, mtasts.ErrNotListed) {
					t.Errorf("Host: %v", err)
				}
			}
		})
	}
	wg.Wait()

	for range 4 {
		wg.Go(func() {
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { client.PolicyFor(t.Context(), "d1.example") })
	}
	wg.Wait()
}
