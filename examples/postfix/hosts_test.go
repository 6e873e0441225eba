package main

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
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

// A query without time left says nothing about the DNS: the next query of the domain is
// answered.
func TestAQueryOutOfTimeIsNotCached(t *testing.T) {
	a, _ := newAnswers(t, false)
	if _, err := a.client.PolicyFor(t.Context(), "wild.example"); err != nil {
		t.Fatal(err)
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if got := string(a.answer(late, nil, "mta-sts wild.example")); !strings.HasPrefix(got, "TEMP ") {
		t.Error(got)
	}
	if got := reply(a, "mta-sts wild.example"); !strings.HasPrefix(got, "OK secure ") {
		t.Error(got)
	}
}

// RFC 7672, Section 2.1.2: a host whose address look-up fails may have TLSA records. So it is
// not delivered to under "secure". The other hosts are.
func TestAHostWithoutAnAddressIsNotSecure(t *testing.T) {
	a, world := newAnswers(t, true)
	world.Publish("two.example", "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, "fails.example", "mx.two.example", "*.mx.example"))
	world.DNS.Set("two.example", mxRecords(true, "FAILS.example", "mx.two.example", "a.mx.example", "b.mx.example"))
	world.DNS.Set("fails.example", resolver.Records{Fail: resolver.ServFail})
	world.DNS.Set("b.mx.example", resolver.Records{Fail: resolver.ServFail})
	const want = "OK secure match=mx.two.example:a.mx.example servername=hostname"
	// With its attributes, Postfix would replace match= by the patterns of the policy.
	for _, name := range []string{mapPlain, mapReport} {
		if got := reply(a, name+" two.example"); got != want {
			t.Errorf("%s: %s; want %s", name, got, want)
		}
	}
}

// Mode testing must not replace the "dane" of main.cf by "may" for such a host.
func TestAHostWithoutAnAddressIsNotOnlyReported(t *testing.T) {
	a, world := newAnswers(t, true)
	world.DNS.Set("testing.example", mxRecords(true, "mx.testing.example", "fails.example"))
	world.DNS.Set("fails.example", resolver.Records{Fail: resolver.ServFail})
	if got := reply(a, "mta-sts-tlsrpt testing.example"); got != notFoundReply {
		t.Error(got)
	}
}
