package mtasts_test

import (
	"crypto/tls"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
)

// A delivery for a cached domain allocates at most five times: the Host, and a configuration
// with its functions.
func TestDeliveryAllocations(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		base := new(tls.Config)
		n := testing.AllocsPerRun(100, func() {
			p, err := e.client.PolicyFor(t.Context(), domain)
			if err != nil || p.Mode != mtasts.ModeEnforce {
				t.Fatal(p, err)
			}
			h, err := p.CheckMX("mx.example.com")
			if err != nil {
				t.Fatal(err)
			}
			h.TLSConfig(base)
		})
		if n > 5 {
			t.Errorf("a delivery allocates %v times", n)
		}
	})
}
