package mtasts_test

import (
	"runtime"
	"testing"
)

// BenchmarkMemory reports the octets of heap that a cached domain takes: with a policy file
// that 1,000 domains share, with one of its own, or without a policy. The time is that of
// looking the domains up, and says little.
func BenchmarkMemory(b *testing.B) {
	const domains = 100_000
	for _, kind := range []struct {
		name      string
		published bool
		file      func(domain string) string
	}{
		{"file=shared", true, benchSharedFile},
		{"file=own", true, benchOwnFile},
		{"file=none", false, benchSharedFile},
	} {
		b.Run(kind.name+"/impl=ours", func(b *testing.B) {
			var grown uint64
			for b.Loop() {
				before := benchHeap()
				client := benchClient(b, domains, kind.published, kind.file)
				grown += benchHeap() - before
				runtime.KeepAlive(client)
			}
			b.ReportMetric(float64(grown)/float64(b.N)/domains, "octets/domain")
		})
	}
}

// benchHeap returns the octets of the heap that are in use.
func benchHeap() uint64 {
	runtime.GC()
	runtime.GC() // the first leaves what has a finalizer, and sync.Pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
