package rediscache_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/mtasts"
)

// entrySize is that of an entry with a policy of three mx patterns.
const entrySize = 220

// info returns a number in the reply to INFO.
func (s *server) info(field string) float64 {
	s.t.Helper()
	for line := range strings.Lines(s.do("INFO")) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatalf("INFO has no %s", field)
	return 0
}

func (s *server) cpu() float64 { return s.info("used_cpu_user") + s.info("used_cpu_sys") }

// fill writes n entries.
func fill(b *testing.B, store *rediscache.Store, n int) {
	b.Helper()
	now := time.Now()
	for i := 0; i < n; {
		var changes []cache.Change
		for ; i < n && len(changes) < 1000; i++ {
			changes = append(changes, cache.Change{Key: fmt.Sprintf("host%d.example.com", i), Value: make([]byte, entrySize), Fetched: now, Expires: now.Add(week)})
		}
		if err := store.Write(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServer measures the unit costs of the plan in the README: the time of a call, and of
// the server's CPU.
func BenchmarkServer(b *testing.B) {
	const entries = 100_000
	s := startServer(b)
	store := open(b, s.option(), nil)
	empty := s.info("used_memory")
	fill(b, store, entries)
	octets := (s.info("used_memory") - empty) / entries
	var n atomic.Int64
	key := func() string { return fmt.Sprintf("host%d.example.com", n.Add(1)%entries) }
	get := func(b *testing.B) {
		if _, ok, err := store.Get(b.Context(), key()); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
	write := func(b *testing.B, changes int) {
		batch := make([]cache.Change, changes)
		for i := range batch {
			batch[i] = cache.Change{Key: key(), Value: make([]byte, entrySize), Fetched: time.Now(), Expires: time.Now().Add(week)}
		}
		if err := store.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for _, bench := range []struct {
		name    string
		workers int
		units   int // of one call
		run     func(b *testing.B)
	}{
		{"get/workers=1", 1, 1, get},
		{"get/workers=64", 64, 1, get},
		{"miss/workers=64", 64, 1, func(b *testing.B) { store.Get(b.Context(), "absent.example") }},
		{"lease/workers=64", 64, 1, func(b *testing.B) { store.Lease(b.Context(), "fetch/"+key(), time.Second) }},
		{"write/changes=1", 1, 1, func(b *testing.B) { write(b, 1) }},
		{"write/changes=1000", 1, 1000, func(b *testing.B) { write(b, 1000) }},
		{"scan", 1, entries, func(b *testing.B) {
			for after := ""; ; {
				keys, _, err := store.Scan(b.Context(), after, 500)
				if err != nil {
					b.Fatal(err)
				}
				if len(keys) < 500 {
					return
				}
				after = keys[499]
			}
		}},
	} {
		b.Run("op="+bench.name, func(b *testing.B) {
			cpu := s.cpu()
			var work sync.WaitGroup
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			for range bench.workers {
				work.Go(func() {
					for left.Add(-1) >= 0 {
						bench.run(b)
					}
				})
			}
			work.Wait()
			b.StopTimer()
			units := float64(b.N * bench.units)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/units, "ns/unit")
			b.ReportMetric((s.cpu()-cpu)*1e9/units, "server-ns/unit")
		})
	}
	b.Run("memory", func(b *testing.B) {
		b.ReportMetric(octets, "octets/entry")
	})
	for _, watchers := range []int{1, 10} {
		b.Run(fmt.Sprintf("op=notice/watchers=%d", watchers), func(b *testing.B) {
			var notices atomic.Int64
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			for range watchers {
				go open(b, s.option(), nil).Watch(ctx, func(mtasts.Notice) { notices.Add(1) })
			}
			if !eventually(func() bool { write(b, 1); return notices.Load() >= int64(watchers) }) {
				b.Fatal("no notices")
			}
			before, cpu := notices.Load(), s.cpu()
			for b.Loop() {
				write(b, 1000)
			}
			want := before + int64(b.N*1000*watchers)
			if !eventually(func() bool { return notices.Load() >= want }) {
				b.Logf("%d of %d notices", notices.Load()-before, want-before)
			}
			b.ReportMetric((s.cpu()-cpu)*1e9/float64(b.N*1000), "server-ns/write")
		})
	}
}
