package mtasts

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/resolver"
)

// yearDomains is 10,000 when all is checked before a change lands.
var yearDomains = flag.Int("year.domains", 200, "how many `domains` TestAYear plays with")

// TestAYear plays Run for a year over policies that live for between a day and a
// year. Half of the domains are asked about once a week, the others only in the first
// week. The TXT records are gone from then on, and at any time one policy host in ten
// is out of reach for days, though never for its policy's life less a day.
//
// Millions of certificates would take minutes to verify, so here, and only here, the
// fetch itself is replaced.
func TestAYear(t *testing.T) {
	const day = 24 * time.Hour
	domains := *yearDomains
	name := func(i int) string { return fmt.Sprintf("d%d.example", i) }
	life := func(i int) time.Duration { return []time.Duration{day, 3 * day, 7 * day, 30 * day, 365 * day}[i%5] }

	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		last := make(map[string]time.Time) // of each fetch that succeeded
		dns := new(resolver.Fake)
		lives := make(map[string]time.Duration, domains)
		number := make(map[string]int, domains)
		for i := range domains {
			lives["mta-sts."+name(i)], number["mta-sts."+name(i)] = life(i), i
			dns.Set("_mta-sts."+name(i), resolver.Records{TXT: []string{"v=STSv1; id=1"}})
		}

		store := new(cache.Memory)
		c := New(store, &Options{Resolver: dns})
		c.get = func(_ context.Context, host string) (string, error) {
			now, life := time.Now(), lives[host]
			outage := max(life-day, 0)
			cycle := 10 * (outage + day)
			if now.Sub(start) > 2*day && (now.Sub(start)+time.Duration(number[host]%10)*cycle/10)%cycle < outage {
				return "", fmt.Errorf("out of reach")
			}
			mu.Lock()
			defer mu.Unlock()
			if before, again := last[host]; again && now.Sub(before) < min(life, maxLife)*3/10 {
				t.Errorf("%s was fetched again after %v; its life is %v", host, now.Sub(before), life)
			}
			last[host] = now
			return fmt.Sprintf("version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: %d\n", life/time.Second), nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()

		for week := range 52 {
			for i := range domains {
				if i%(domains/10) == 0 {
					time.Sleep(7 * day / 10)
				}
				if week > 0 && i%2 == 1 {
					continue
				}
				p, err := c.PolicyFor(t.Context(), name(i))
				if err != nil || p.Mode != ModeEnforce {
					t.Fatalf("week %d: %s: %+v, %v", week, name(i), p, err)
				}
			}
			if week == 0 {
				for i := range domains {
					dns.Set("_mta-sts."+name(i), resolver.Records{})
				}
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for i := range domains {
			if since := time.Since(last["mta-sts."+name(i)]); i%2 == 1 && since < 300*day {
				t.Errorf("%s was fetched %v ago, though nobody has asked for almost a year", name(i), since)
			}
		}
		if keys, _, err := store.Scan(t.Context(), "", domains); err != nil || len(keys) > domains*6/10+1 {
			t.Errorf("the store has %d entries, %v; want those in use and those that live for a year", len(keys), err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
