//go:build linux

package mtasts_test

import (
	"net/netip"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// BenchmarkCheck asks for a domain whose answer is cached, with a check of the DNS each time.
// The floor is the look-up of the record by net.Resolver, on a goroutine of its own like a check
// that goes on behind an answer. cpu-ns/op is the time that this process spends on all cores.
func BenchmarkCheck(b *testing.B) {
	s := startCold(b)
	s.prepare(b, 1)
	for answer, domain := range map[string]string{"policy": coldDomain(0), "none": coldNone} {
		b.Run("answer="+answer, func(b *testing.B) {
			client := mtasts.NewForPort(s.port, benchStore{}, &mtasts.Options{
				Resolver:      resolver.System{Server: s.dns},
				RootCAs:       s.roots,
				AllowNets:     []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
				CheckInterval: -1,
			})
			defer client.Close()
			b.Run("impl=ours", func(b *testing.B) {
				start := cpuTime(b)
				for b.Loop() {
					if p, err := client.PolicyFor(b.Context(), domain); err != nil || (p.Cause == nil) != (answer == "policy") {
						b.Fatal(p, err)
					}
				}
				reportCPU(b, start)
			})
			b.Run("impl=floor", func(b *testing.B) {
				names := s.netResolver()
				start := cpuTime(b)
				for b.Loop() {
					found := make(chan error)
					go func() {
						_, err := names.LookupTXT(b.Context(), "_mta-sts."+domain+".")
						found <- err
					}()
					if err := <-found; (err == nil) != (answer == "policy") {
						b.Fatal(err)
					}
				}
				reportCPU(b, start)
			})
		})
	}
}
