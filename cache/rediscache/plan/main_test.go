package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// A counter counts the calls of Get.
type counter struct {
	mtasts.SharedStore
	gets atomic.Int64
}

func (c *counter) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	c.gets.Add(1)
	return c.SharedStore.Get(ctx, key)
}

// The simulation stands for what clients really do.
func TestTheSimulationAgreesWithAFleet(t *testing.T) {
	w := world{relays: 2, rate: 0.5, recipients: 300, policies: 100, share: 0.5, memory: 150}
	simulated := simulate(w, w.relays, time.Hour, 5*time.Hour)
	synctest.Test(t, func(t *testing.T) {
		internet := mtaststest.NewWorld()
		for i := range int(w.policies) {
			internet.Publish(fmt.Sprintf("p%d.example", i), "1", mtaststest.Policy(mtasts.ModeEnforce, 30*24*time.Hour, "mx.example"))
		}
		store := &counter{SharedStore: new(mtaststest.SharedMemory)}
		random := rand.New(rand.NewPCG(1, 2))
		with := rand.NewZipf(random, 1.05, 1, uint64(w.policies)-1)
		without := rand.NewZipf(random, 1.05, 1, uint64(w.recipients)-1)
		var relays []*mtasts.Client
		for range w.relays {
			options := internet.Options()
			options.MemoryEntries = w.memory
			relays = append(relays, mtasts.New(store, options))
		}
		var before int64
		began := time.Now()
		for warm := true; time.Since(began) < 6*time.Hour; {
			time.Sleep(time.Duration(random.ExpFloat64() / w.rate / float64(w.relays) * float64(time.Second))) // in a bubble
			name := fmt.Sprintf("n%d.example", without.Uint64())
			if random.Float64() < w.share {
				name = fmt.Sprintf("p%d.example", with.Uint64())
			}
			if _, err := relays[random.IntN(len(relays))].PolicyFor(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if warm && time.Since(began) > time.Hour {
				before, warm = store.gets.Load(), false
			}
		}
		real := float64(store.gets.Load()-before) / (5 * 3600)
		for _, relay := range relays {
			relay.Close()
		}
		if ratio := simulated.checks / real; ratio < 0.9 || ratio > 1.1 {
			t.Errorf("the simulation has %.3f look-ups a second, and a fleet %.3f", simulated.checks, real)
		}
	})
}
