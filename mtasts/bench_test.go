package mtasts

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/resolver"
)

// Each benchmark has its floor beside it: the least that the same work can cost,
// written by hand, without what the package adds to it.

// benchDomains returns n domains, and the same in a random order that is the same in
// each run. The latter are copies, as a sender's strings are: to compare a string with
// itself would cost nothing.
func benchDomains(n int) (domains, asked []string) {
	domains, asked = make([]string, n), make([]string, n)
	var all strings.Builder
	all.Grow(32 * n) // one piece, for the benchmark's own reads to be in order
	order := rand.New(rand.NewPCG(8461, uint64(n))).Perm(n)
	for i := range domains {
		domains[i] = benchDomain(i)
	}
	for i, at := range order {
		start := all.Len()
		all.WriteString(domains[at])
		asked[i] = all.String()[start:]
	}
	return domains, asked
}

func benchDomain(i int) string { return fmt.Sprintf("customer%d.example.com", i) }

// benchText is the policy file of a domain: nine of ten domains have one of a hundred
// files, of the providers at which they are, and the tenth has its own.
func benchText(i int) string {
	provider := fmt.Sprintf("provider%d.example.net", i%100)
	if i%10 == 0 {
		provider = benchDomain(i)
	}
	return fmt.Sprintf("version: STSv1\r\nmode: enforce\r\nmx: mx1.%[1]s\r\nmx: mx2.%[1]s\r\nmx: *.backup.%[1]s\r\nmax_age: 604800\r\n", provider)
}

const benchMX = "mx2.provider%d.example.net" // of domain i, with i%100

// benchAnswer makes the answer for a domain: its policy, whose file parse reads, or that
// there is none.
func benchAnswer(tb testing.TB, i int, domain string, published bool, parse func(string) (*policyFile, error)) *Policy {
	if !published {
		return noPolicy(domain, &Error{Domain: domain, Reason: "no-txt-record",
			Err: fmt.Errorf("%w: %s", sts.ErrNoRecord, domain)})
	}
	file, err := parse(benchText(i))
	if err != nil {
		tb.Fatal(err)
	}
	return newPolicy(domain, "20260101T000000", file, time.Now())
}

// benchClient returns a client that remembers an answer for each domain. It puts them
// where discoveries would have, of which a million take minutes.
func benchClient(tb testing.TB, domains []string, published bool) *Client {
	c := New(new(cache.Memory), &Options{
		Resolver:      new(resolver.Fake),
		CheckInterval: 24 * time.Hour, // callgrind takes its time
		MemoryEntries: 2 * len(domains),
	})
	tb.Cleanup(func() { c.Close() })
	for i, domain := range domains {
		p := benchAnswer(tb, i, domain, published, c.files.parse)
		p.client = c
		e := new(cacheEntry)
		e.policy.Store(p)
		c.endCheck(e, begunCheck{}, true, nil)
		e.lastUse.Store(time.Now())
		e.storedUse.Store(time.Now())
		c.hold(domain, e)
	}
	return c
}

// A benchTable is the floor: what is known is read under a lock that readers share,
// and compared with the clock. It is not bounded, knows no form of a domain but one,
// and what becomes of an answer that is not fresh is somebody else's work.
type benchTable struct {
	mu      sync.RWMutex
	answers map[string]benchKnown
	start   time.Time
}

type benchKnown struct {
	policy *Policy
	fresh  time.Duration // since start
}

func newBenchTable(tb testing.TB, domains []string, published bool) *benchTable {
	t, files := &benchTable{answers: make(map[string]benchKnown), start: time.Now()}, newSharedFiles()
	for i, domain := range domains {
		t.answers[domain] = benchKnown{benchAnswer(tb, i, domain, published, files.parse), 24 * time.Hour}
	}
	return t
}

func (t *benchTable) policyFor(domain string) *Policy {
	t.mu.RLock()
	known, ok := t.answers[domain]
	t.mu.RUnlock()
	if !ok || time.Since(t.start) >= known.fresh {
		return nil
	}
	return known.policy
}

// A benchWorld is what a row needs, of the row's size. The last one is kept, for the
// rows that share it and for further rounds: to make a large one takes seconds.
type benchWorld struct {
	n         int
	published bool
	asked     []string
	client    *Client
	table     *benchTable
}

var lastWorld benchWorld

func world(b *testing.B, n int, published bool) *benchWorld {
	w := &lastWorld
	if w.n != n || w.published != published {
		*w = benchWorld{n: n, published: published}
	}
	return w
}

// ours returns the client of w and the domains to ask it about.
func (w *benchWorld) ours(b *testing.B) (*Client, []string) {
	if w.client == nil {
		var domains []string
		domains, w.asked = benchDomains(w.n)
		w.client = benchClient(b, domains, w.published)
		runtime.GC() // not during the first round
	}
	return w.client, w.asked
}

// floor returns the table of w and the domains to ask it about.
func (w *benchWorld) floor(b *testing.B) (*benchTable, []string) {
	if w.table == nil {
		var domains []string
		domains, w.asked = benchDomains(w.n)
		w.table = newBenchTable(b, domains, w.published)
		runtime.GC()
	}
	return w.table, w.asked
}
