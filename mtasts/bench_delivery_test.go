package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkDelivery is what one delivery to one MX costs: its policy, the decision about
// the host, and the configuration for its TLS session.
func BenchmarkDelivery(b *testing.B) {
	const domains = 10_000
	base := &tls.Config{RootCAs: x509.NewCertPool(), InsecureSkipVerify: true}
	mx := make([]string, 100)
	for i := range mx {
		mx[i] = fmt.Sprintf(benchMX, i)
	}
	// An asked domain's number tells its MX, as benchText has it.
	hosts := func(asked []string) []string {
		hosts := make([]string, len(asked))
		for i, domain := range asked {
			var n int
			fmt.Sscanf(domain, "customer%d.", &n)
			if hosts[i] = mx[n%100]; n%10 == 0 {
				hosts[i] = "mx2." + domain
			}
		}
		return hosts
	}
	b.Run("ours", func(b *testing.B) {
		ctx := context.Background()
		c, asked := world(b, domains, true).ours(b)
		hosts := hosts(asked)
		b.ReportAllocs()
		for i := 0; b.Loop(); {
			p, err := c.PolicyFor(ctx, asked[i])
			if err != nil {
				b.Fatal(err)
			}
			h, err := p.CheckMX(hosts[i])
			if err != nil {
				b.Fatal(err)
			}
			if h.TLSConfig(base).ServerName == "" {
				b.Fatal("no server name")
			}
			if i++; i == len(asked) {
				i = 0
			}
		}
	})
	// The floor copies the configuration as each sender must; it does not look at the
	// name of the host, and does not hear of the outcome.
	b.Run("floor", func(b *testing.B) {
		t, asked := world(b, domains, true).floor(b)
		hosts := hosts(asked)
		b.ReportAllocs()
		for i := 0; b.Loop(); {
			p, host := t.policyFor(asked[i]), hosts[i]
			if p == nil || !benchListed(p.MX, host) {
				b.Fatal("refused")
			}
			cfg := base.Clone()
			cfg.ServerName = host
			if p.Mode == ModeEnforce {
				cfg.InsecureSkipVerify = false
				cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
			}
			if i++; i == len(asked) {
				i = 0
			}
		}
	})
}

func benchListed(patterns []string, host string) bool {
	for _, pattern := range patterns {
		if pattern == host {
			return true
		}
		if parent, ok := strings.CutPrefix(pattern, "*"); ok {
			if dot := strings.IndexByte(host, '.'); dot > 0 && host[dot:] == parent {
				return true
			}
		}
	}
	return false
}
