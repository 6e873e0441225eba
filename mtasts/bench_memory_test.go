package mtasts

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// BenchmarkMemory tells how many octets of memory a remembered domain takes, of 100,000
// domains with a policy, of which 90 % share 100 policy files, or without one. The time
// is that of making them, and says nothing.
func BenchmarkMemory(b *testing.B) {
	for name, published := range map[string]bool{"policy": true, "none": false} {
		b.Run(name, func(b *testing.B) {
			b.Run("ours", func(b *testing.B) {
				benchHeap(b, func(domains []string) any { return benchClient(b, domains, published) })
			})
			// The floor holds what cannot be found out anew, each policy file once,
			// in the plainest form: where it is used it would have to be parsed.
			b.Run("floor", func(b *testing.B) {
				type known struct {
					text, id               string
					fetched, expires, used int64
				}
				benchHeap(b, func(domains []string) any {
					texts := make(map[string]string)
					table := make(map[string]*known)
					for i, domain := range domains {
						now := time.Now().Unix()
						k := &known{fetched: now, expires: now, used: now}
						if published {
							text := benchText(i)
							if _, ok := texts[text]; !ok {
								texts[text] = text
							}
							k.text, k.id = texts[text], strings.Clone("20260101T000000")
						}
						table[domain] = k
					}
					return table
				})
			})
		})
	}
}

// benchHeap reports by how much the heap grows, for each domain, by what remember
// returns. The names of the domains count.
func benchHeap(b *testing.B, remember func(domains []string) any) {
	const n = 100_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.GC() // what the first has only unlinked
		runtime.ReadMemStats(&before)
		domains := make([]string, n)
		for i := range domains {
			domains[i] = benchDomain(i)
		}
		held := remember(domains)
		clear(domains)
		domains = nil
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(held)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "octets/domain")
}
