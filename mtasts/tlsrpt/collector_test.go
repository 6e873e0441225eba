package tlsrpt_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
)

func options() tlsrpt.Options {
	return tlsrpt.Options{Organization: "Sender", Contact: "postmaster@sender.example", From: "reports@sender.example",
		SendMail: func(context.Context, string, string, []byte) error { return nil }}
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	for want, change := range map[string]func(*tlsrpt.Options){
		"Organization": func(o *tlsrpt.Options) { o.Organization = "" },
		"Contact":      func(o *tlsrpt.Options) { o.Contact = "postmaster" },
		"From":         func(o *tlsrpt.Options) { o.From = "a@b@c" },
		"SendMail":     func(o *tlsrpt.Options) { o.SendMail = nil },
	} {
		opts := options()
		change(&opts)
		if _, err := tlsrpt.New(&cache.Memory{}, opts); err == nil || !strings.Contains(err.Error(), "Options."+want) {
			t.Errorf("error is %v, want one about %s", err, want)
		}
	}
	if _, err := tlsrpt.New(nil, options()); err == nil {
		t.Error("no error without a store")
	}
}

func TestAddRefusesWhatNoReportCanSay(t *testing.T) {
	c := open(t, &cache.Memory{}, options())
	good := tlsrpt.Outcome{Domain: "example.com", Type: tlsrpt.TypeTLSA, Policy: "3 1 1 00", PolicyDomain: "MX.example.net."}
	if err := c.Add(good); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*tlsrpt.Outcome){
		"Domain":       func(o *tlsrpt.Outcome) { o.Domain = "a b" },
		"PolicyDomain": func(o *tlsrpt.Outcome) { o.PolicyDomain = "192.0.2.1" },
		"Type":         func(o *tlsrpt.Outcome) { o.Type = "dane" },
		"Result":       func(o *tlsrpt.Outcome) { o.Result = "broken" },
		"Policy":       func(o *tlsrpt.Outcome) { o.Policy = strings.Repeat("x", 1<<17) },
	} {
		bad := good
		change(&bad)
		if err := c.Add(bad); err == nil || !strings.Contains(err.Error(), "Outcome."+want+":") {
			t.Errorf("error is %v, want one about %s", err, want)
		}
	}
	if n := c.Stats().Outcomes; n != 1 {
		t.Errorf("%d outcomes are counted, want 1", n)
	}
}

func open(t testing.TB, store mtasts.Store, opts tlsrpt.Options) *tlsrpt.Collector {
	t.Helper()
	c, err := tlsrpt.New(store, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// events are a success and a failure under one policy.
func events(domain string) (success, failure mtasts.Event) {
	policy := &mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce, MX: []string{"mx.example.com"},
		Text: "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmax_age: 86400\r\n"}
	success = mtasts.Event{Kind: mtasts.EventSession, Time: time.Now(), Domain: domain, Policy: policy, MX: "mx.example.com",
		Local: netip.MustParseAddr("2001:db8::1"), Remote: netip.MustParseAddr("192.0.2.25"), HELO: "mx.example.com"}
	failure = success
	failure.Result, failure.Reason, failure.Err = mtasts.ResultCertificateNotTrusted, mtasts.ReasonSelfSigned, errors.New("x509")
	return success, failure
}

func TestAKnownOutcomeCostsNoAllocation(t *testing.T) {
	c := open(t, &cache.Memory{}, options())
	success, failure := events("example.com")
	none := mtasts.Event{Kind: mtasts.EventOpportunistic, Time: time.Now(), Domain: "example.org",
		Policy: &mtasts.Policy{Mode: mtasts.ModeNone, Cause: &mtasts.Error{Reason: mtasts.ReasonNoRecord}}}
	dane := tlsrpt.Outcome{Domain: "example.com", Type: tlsrpt.TypeTLSA, Policy: "3 1 1 00\n3 1 1 01"}
	run := func() {
		c.Report(success)
		c.Report(failure)
		c.Report(none)
		if err := c.Add(dane); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n >= 1 { // a write may come in between
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOutcome(b *testing.B) {
	for _, domains := range []int{1, 10_000, 100_000} {
		b.Run(fmt.Sprintf("domains=%d/impl=ours", domains), func(b *testing.B) {
			c := open(b, &cache.Memory{}, options())
			var all []mtasts.Event
			for i := range domains {
				success, failure := events(fmt.Sprintf("domain-%d.example", i))
				all = append(all, success, failure)
			}
			for _, e := range all {
				c.Report(e)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Report(all[i%len(all)])
			}
		})
	}
}

// BenchmarkMemory says how many octets of heap a key takes, which is a domain, a policy, an MX
// and a result: half of the domains have a policy of their own and a failure, the other half no
// policy.
func BenchmarkMemory(b *testing.B) {
	b.Run("impl=ours", func(b *testing.B) {
		for b.Loop() {
			heap := func() uint64 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			before := heap()
			c := open(b, nowhere{&cache.Memory{}}, options())
			const domains, keys = 100_000, 150_000
			for i := range domains {
				success, failure := events(fmt.Sprintf("domain-%d.example", i))
				if i%2 == 0 {
					success.Kind, success.Policy = mtasts.EventOpportunistic, &mtasts.Policy{}
					c.Report(success)
				} else {
					success.Policy.Text = strings.Clone(success.Policy.Text)
					failure.Policy = success.Policy
					c.Report(success)
					c.Report(failure)
				}
			}
			if err := c.Close(); err != nil { // or what has changed would count, too
				b.Fatal(err)
			}
			heap()
			b.ReportMetric(float64(heap()-before)/keys, "octets/key")
			b.ReportMetric(float64(c.Stats().Memory)/keys, "estimated-octets/key")
		}
	})
}

// nowhere is a store that takes all and keeps nothing.
type nowhere struct{ *cache.Memory }

func (nowhere) Write(context.Context, []cache.Change) error { return nil }

func TestOutcomesBeyondTheBoundOfMemoryAreCounted(t *testing.T) {
	c := open(t, nowhere{&cache.Memory{}}, options())
	const bound = 256 << 20
	policy := strings.Repeat("x", 50_000)
	n := uint64(0)
	for ; c.Stats().Dropped < 100; n++ {
		if err := c.Add(tlsrpt.Outcome{Domain: fmt.Sprintf("d%d.example", n), Type: tlsrpt.TypeTLSA, Policy: policy}); err != nil {
			t.Fatal(err)
		}
	}
	s := c.Stats()
	if s.Outcomes != n || s.Memory > bound || s.Memory < bound/2 {
		t.Errorf("%d outcomes, stats %+v", n, s)
	}
	if err := c.Add(tlsrpt.Outcome{Domain: "d0.example", Type: tlsrpt.TypeTLSA, Policy: policy}); err != nil || c.Stats().Dropped != s.Dropped {
		t.Errorf("an outcome of a known domain is dropped: %v", err)
	}
}
