package main

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/resolver"
)

// longDNS has many MX hosts with long names for each domain.
type longDNS struct{ resolver.Fake }

func (*longDNS) LookupMX(_ context.Context, name string) (records []*net.MX, err error) {
	for i := range maxHosts {
		records = append(records, &net.MX{Host: fmt.Sprintf("%d.%s%s.", i, strings.Repeat("a.", 110), name)})
	}
	return records, nil
}

// Domains with many MX hosts take no more memory than others.
func TestManyHostsAtOnce(t *testing.T) {
	h := newHosts(new(longDNS), false)
	for i := range 20_000 {
		h.of(t.Context(), nextHop{domain: fmt.Sprintf("n%d.example", i), port: "25"})
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 64<<20 {
		t.Errorf("%d octets of heap", m.HeapAlloc)
	}
	runtime.KeepAlive(h)
}
