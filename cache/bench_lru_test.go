package cache_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/testcost"
)

// benchLRUKeys returns n keys, and copies of them in a random order that is the same in
// each run: to compare a string with itself would cost nothing.
func benchLRUKeys(n int) (keys, asked []string) {
	keys, asked = make([]string, n), make([]string, n)
	for i, at := range rand.New(rand.NewPCG(8461, uint64(n))).Perm(n) {
		keys[at] = fmt.Sprintf("customer%d.example.com", at)
		asked[i] = strings.Clone(keys[at])
	}
	return keys, asked
}

// BenchmarkLRUGet asks for what is there. The floor is a map that readers share a lock
// for; it keeps no order, and so cannot evict.
func BenchmarkLRUGet(b *testing.B) {
	for _, size := range []struct {
		name string
		keys int
	}{{"1", 1}, {"10k", 10_000}, {"100k", 100_000}} {
		b.Run(size.name, func(b *testing.B) {
			keys, asked := benchLRUKeys(size.keys)
			b.Run("ours", func(b *testing.B) {
				l := cache.NewLRU[*int](2 * size.keys)
				for _, k := range keys {
					add(l, k, new(int), 1)
				}
				testcost.OnAllCores(b, asked, func(k string) bool { return l.Get(k) != nil })
			})
			b.Run("floor", func(b *testing.B) {
				var mu sync.RWMutex
				m := make(map[string]*int)
				for _, k := range keys {
					m[k] = new(int)
				}
				testcost.OnAllCores(b, asked, func(k string) bool {
					mu.RLock()
					v := m[k]
					mu.RUnlock()
					return v != nil
				})
			})
		})
	}
}

// BenchmarkLRUAdd adds new keys to what is full, so that each takes the place of another.
// The floor is a map that forgets at random.
func BenchmarkLRUAdd(b *testing.B) {
	const size = 10_000
	_, keys := benchLRUKeys(100_000)
	b.Run("ours", func(b *testing.B) {
		l := cache.NewLRU[*int](size)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			add(l, keys[i%len(keys)], nil, 1)
		}
	})
	b.Run("floor", func(b *testing.B) {
		var mu sync.RWMutex
		m := make(map[string]*int)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			mu.Lock()
			m[keys[i%len(keys)]] = nil
			if len(m) > size {
				for k := range m {
					delete(m, k)
					break
				}
			}
			mu.Unlock()
		}
	})
}
