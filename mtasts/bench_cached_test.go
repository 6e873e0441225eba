package mtasts_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
)

var benchSizes = []int{1, 10_000, 100_000} // domains

// BenchmarkCached asks for cached answers, each domain in turn and in no order. The floor is
// benchTable.
func BenchmarkCached(b *testing.B) {
	for _, answer := range []string{"policy", "none"} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("answer=%s/domains=%d", answer, size), func(b *testing.B) {
				client, table, asked := benchCached(b, size, answer == "policy")
				b.Run("impl=ours", func(b *testing.B) {
					ctx := b.Context()
					for i := 0; b.Loop(); i = next(i, asked) {
						if p, err := client.PolicyFor(ctx, asked[i]); err != nil || p == nil {
							b.Fatal(p, err)
						}
					}
				})
				b.Run("impl=floor", func(b *testing.B) {
					for i := 0; b.Loop(); i = next(i, asked) {
						if table.policyFor(asked[i]) == nil {
							b.Fatal("no answer")
						}
					}
				})
			})
		}
	}
}

// BenchmarkCores asks for cached policies on all cores at once. The floor is the same on one
// core. It is reached when cores do not hinder each other more than they help.
func BenchmarkCores(b *testing.B) {
	for _, size := range benchSizes[1:] {
		b.Run(fmt.Sprint("domains=", size), func(b *testing.B) {
			client, _, asked := benchCached(b, size, true)
			b.Run("impl=ours", func(b *testing.B) {
				var workers atomic.Int64
				ctx := b.Context()
				b.RunParallel(func(pb *testing.PB) {
					// Each worker begins elsewhere.
					for i := int(workers.Add(1)) * len(asked) / runtime.NumCPU() % len(asked); pb.Next(); i = next(i, asked) {
						client.PolicyFor(ctx, asked[i])
					}
				})
			})
			b.Run("impl=floor", func(b *testing.B) {
				ctx := b.Context()
				for i := 0; b.Loop(); i = next(i, asked) {
					client.PolicyFor(ctx, asked[i])
				}
			})
		})
	}
}

// BenchmarkDelivery is the work for one delivery to one MX host: the policy, the decision
// about the host, and the configuration of its TLS session.
func BenchmarkDelivery(b *testing.B) {
	client, _, asked := benchCached(b, 10_000, true)
	mx := make([]string, len(asked))
	for i, domain := range asked {
		mx[i] = "mx2." + benchProvider(domain)
	}
	base := new(tls.Config)
	b.Run("impl=ours", func(b *testing.B) {
		ctx := b.Context()
		for i := 0; b.Loop(); i = next(i, asked) {
			p, err := client.PolicyFor(ctx, asked[i])
			if err != nil {
				b.Fatal(err)
			}
			h, err := p.CheckMX(mx[i])
			if err != nil {
				b.Fatal(err)
			}
			if h.TLSConfig(base).ServerName == "" {
				b.Fatal("no server name")
			}
		}
	})
}

// benchCached returns a client that has an answer for each of n domains in memory, a table
// with the same answers, and the domains in random order. These are copies: to compare a
// string with itself costs nothing.
func benchCached(b *testing.B, n int, published bool) (client *mtasts.Client, table *benchTable, asked []string) {
	client = benchClient(b, n, published, benchSharedFile)
	table = &benchTable{answers: make(map[string]benchAnswer), start: time.Now()}
	for i := range n {
		p, err := client.PolicyFor(b.Context(), benchDomain(i))
		if err != nil || (p.Cause == nil) != published {
			b.Fatal(p, err)
		}
		table.answers[benchDomain(i)] = benchAnswer{p, 24 * time.Hour}
	}
	for _, i := range rand.New(rand.NewPCG(8461, uint64(n))).Perm(n) {
		asked = append(asked, benchDomain(i))
	}
	runtime.GC() // now, and not while something is measured
	return client, table, asked
}

// next returns the index behind i, and the first behind the last.
func next(i int, asked []string) int {
	if i++; i < len(asked) {
		return i
	}
	return 0
}

// A benchTable is the floor: a map under a lock that readers share, and a comparison with
// the clock. It has no bound, and no form of a domain but one.
type benchTable struct {
	mu      sync.RWMutex
	answers map[string]benchAnswer
	start   time.Time
}

type benchAnswer struct {
	policy  *mtasts.Policy
	checkAt time.Duration // since start
}

func (t *benchTable) policyFor(domain string) *mtasts.Policy {
	t.mu.RLock()
	a, ok := t.answers[domain]
	t.mu.RUnlock()
	if !ok || time.Since(t.start) >= a.checkAt {
		return nil
	}
	return a.policy
}

func benchDomain(i int) string { return fmt.Sprintf("customer%d.example.com", i) }

// benchOwnFile is the policy file of a domain that shares it with no other.
func benchOwnFile(domain string) string { return benchFile(domain) }

// benchSharedFile is the policy file of the domain's provider, of whom there are 100.
func benchSharedFile(domain string) string { return benchFile(benchProvider(domain)) }

func benchProvider(domain string) string {
	var i int
	fmt.Sscanf(domain, "customer%d.", &i)
	return fmt.Sprintf("provider%d.example.net", i%100)
}

func benchFile(provider string) string {
	return fmt.Sprintf("version: STSv1\r\nmode: enforce\r\nmx: mx1.%[1]s\r\nmx: mx2.%[1]s\r\nmx: *.backup.%[1]s\r\nmax_age: 604800\r\n", provider)
}

// benchClient returns a client that has looked n domains up, and finds file as their policy
// files or, unless published, no record. It has nothing left to write.
func benchClient(b *testing.B, n int, published bool, file func(domain string) string) *mtasts.Client {
	get := func(_ context.Context, policyHost string) (string, error) {
		return file(strings.TrimPrefix(policyHost, "mta-sts.")), nil
	}
	client := mtasts.NewWithoutHTTPS(get, benchStore{}, &mtasts.Options{
		Resolver:      benchDNS{published},
		CheckInterval: 24 * time.Hour,
		MemoryEntries: 2 * n, // so that nothing is evicted
	})
	b.Cleanup(func() { client.Close() })
	for i := range n {
		if p, err := client.PolicyFor(context.Background(), benchDomain(i)); err != nil || (p.Cause == nil) != published {
			b.Fatal(p, err)
		}
	}
	for client.Stats().Unsaved > 0 {
		runtime.Gosched()
	}
	return client
}

// benchDNS has an MTA-STS record for each domain, or for none.
type benchDNS struct{ published bool }

func (d benchDNS) LookupTXT(_ context.Context, name string) ([]string, error) {
	if !d.published {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return []string{"v=STSv1; id=20260101T000000;"}, nil
}

// benchStore holds nothing, and so takes no memory.
type benchStore struct{}

func (benchStore) Get(context.Context, string) ([]byte, bool, error) { return nil, false, nil }

func (benchStore) Write(context.Context, []cache.Change) error { return nil }

func (benchStore) Scan(context.Context, string, int) ([]string, [][]byte, error) {
	return nil, nil, nil
}
