package mtasts

import (
	"context"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testcost"
)

var benchSizes = []struct {
	name    string
	domains int
}{{"1", 1}, {"10k", 10_000}, {"100k", 100_000}, {"1M", 1_000_000}}

// BenchmarkPolicyForCached asks for what is remembered, in a random order.
func BenchmarkPolicyForCached(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			b.Run("policy", func(b *testing.B) { benchCached(b, size.domains, true) })
			b.Run("none", func(b *testing.B) { benchCached(b, size.domains, false) })
		})
	}
}

func benchCached(b *testing.B, domains int, published bool) {
	b.Run("ours", func(b *testing.B) {
		ctx := context.Background()
		c, asked := world(b, domains, published).ours(b)
		b.ReportAllocs()
		for i := 0; b.Loop(); {
			if p, err := c.PolicyFor(ctx, asked[i]); err != nil || p == nil {
				b.Fatal(p, err)
			}
			if i++; i == len(asked) {
				i = 0
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		t, asked := world(b, domains, published).floor(b)
		b.ReportAllocs()
		for i := 0; b.Loop(); {
			if t.policyFor(asked[i]) == nil {
				b.Fatal("forgotten")
			}
			if i++; i == len(asked) {
				i = 0
			}
		}
	})
}

// BenchmarkPolicyForParallel is the same on all cores at once. Its floor is a lock that
// all readers share, which does not scale: run it with -cpu 1,2 and compare the two.
func BenchmarkPolicyForParallel(b *testing.B) {
	for _, size := range benchSizes[:3] {
		b.Run(size.name, func(b *testing.B) {
			b.Run("ours", func(b *testing.B) {
				ctx := context.Background()
				c, asked := world(b, size.domains, true).ours(b)
				testcost.OnAllCores(b, asked, func(domain string) bool {
					p, err := c.PolicyFor(ctx, domain)
					return err == nil && p != nil
				})
			})
			b.Run("floor", func(b *testing.B) {
				t, asked := world(b, size.domains, true).floor(b)
				testcost.OnAllCores(b, asked, func(domain string) bool { return t.policyFor(domain) != nil })
			})
		})
	}
}
