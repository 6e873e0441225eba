package mtasts_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// BenchmarkWarm warms 100,000 domains, about as many as publish a policy today, into a file,
// from a World. Run it with -benchtime 1x. The world makes a certificate for each domain, which
// is a part of the time.
func BenchmarkWarm(b *testing.B) {
	const domains = 100_000
	for b.Loop() {
		b.StopTimer()
		w := mtaststest.NewWorld()
		for i := range domains {
			w.Publish(fmt.Sprintf("customer%06d.example", i), "1",
				mtaststest.Policy(mtasts.ModeEnforce, week, fmt.Sprintf("mx%d.example.net", i%100)))
		}
		client, err := mtasts.Open(filepath.Join(b.TempDir(), "mta-sts.db"), w.Options())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		var last mtasts.WarmProgress
		if err := client.Warm(b.Context(), func(yield func(string) bool) {
			for i := range domains {
				if !yield(fmt.Sprintf("customer%06d.example", i)) {
					return
				}
			}
		}, func(p mtasts.WarmProgress) { last = p }); err != nil {
			b.Fatal(err)
		}
		if err := client.Close(); err != nil {
			b.Fatal(err)
		}
		if last.Fetched != domains {
			b.Fatalf("%+v, want all fetched", last)
		}
	}
	b.ReportMetric(float64(domains*b.N)/b.Elapsed().Seconds(), "domains/s")
}
