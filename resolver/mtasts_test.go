package resolver_test

import (
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// Each resolver of this package satisfies the contract of a Client.
func TestContractOfAResolver(t *testing.T) {
	system := func(tcpOnly bool) func(*testing.T, map[string]resolver.Records) mtasts.Resolver {
		return func(t *testing.T, zone map[string]resolver.Records) mtasts.Resolver {
			server := (&dnsServer{zone: zone, tcpOnly: tcpOnly}).start(t)
			return resolver.System{Server: server.addr}.WithLimit(3 * time.Second)
		}
	}
	for name, open := range map[string]func(*testing.T, map[string]resolver.Records) mtasts.Resolver{
		"System over UDP": system(false),
		"System over TCP": system(true),
		"Fake": func(_ *testing.T, zone map[string]resolver.Records) mtasts.Resolver {
			return &resolver.Fake{Names: zone}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mtaststest.TestResolver(t, open)
		})
	}
}
