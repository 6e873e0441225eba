package mtaststest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// TestResolver tests that a Resolver keeps the contract of [mtasts.Resolver], in a subtest for
// each sentence of it. If the Resolver has the method LookupNetIP, TestResolver tests that too.
// Call it from a test of your Resolver:
//
//	func TestMyResolver(t *testing.T) {
//		mtaststest.TestResolver(t, func(t *testing.T, zone map[string]resolver.Records) mtasts.Resolver {
//			return myresolver.New(serve(t, zone)) // a DNS server of the test
//		})
//	}
//
// open returns a Resolver for a DNS that has the names of zone and no others. TestResolver calls
// it once. open cleans up by t.Cleanup.
//
// A key of zone is a name in lower case with a final dot. Its records may be:
//   - TXT. A record above 255 octets has several character-strings on the wire
//     (RFC 1035, Section 3.3.14). A shorter one may have several.
//   - CNAME. The name is an alias.
//   - Fail: ServFail, Refused, or Timeout for a server that never answers. If the Resolver has
//     a time-out, set it to about 3 seconds.
//   - Delay. This server, too, never answers.
//
// A *[net.Resolver] fails one subtest: after its context is cancelled, it waits for its own
// time-out.
func TestResolver(t *testing.T, open func(t *testing.T, zone map[string]resolver.Records) mtasts.Resolver) {
	addr := netip.MustParseAddr
	const (
		policy = "v=STSv1; id=20160831085700Z;"
		octets = "v=STSv1; \"quoted\" \\; \\\\ \\000 (\t\r\n\x00\x7f) \u00e9\xff\xfe" // some are special in a zone file
	)
	several := []string{"one", "two=2", policy}
	long := strings.Repeat("0123456789", 60)
	largest := strings.Repeat("x", 255*255) // 65,535 octets with the lengths of its strings
	var many []string
	for i := range 20 {
		many = append(many, strings.Repeat(string(rune('a'+i)), 200))
	}
	dns := open(t, map[string]resolver.Records{
		"_mta-sts.example.com.":   {TXT: []string{policy}},
		"_mta-sts.alias.example.": {CNAME: "_mta-sts.example.com."},
		"several.example.":        {TXT: several},
		"many.example.":           {TXT: many},
		"long.example.":           {TXT: []string{long}},
		"octets.example.":         {TXT: []string{octets}},
		"largest.example.":        {TXT: []string{largest}},

		"mta-sts.example.com.":   {Addr: []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1"), addr("192.0.2.2")}},
		"mta-sts.alias.example.": {CNAME: "mta-sts.example.com."},
		"four.example.":          {Addr: []netip.Addr{addr("192.0.2.4")}},
		"six.example.":           {Addr: []netip.Addr{addr("2001:db8::6")}},

		"other.example.":         {MX: []net.MX{{Host: "mx.example.com.", Pref: 10}}},
		"dangling.example.":      {CNAME: "nowhere.example."},
		"servfail.example.":      {Fail: resolver.ServFail},
		"failing-alias.example.": {CNAME: "servfail.example."},
		"refused.example.":       {Fail: resolver.Refused},
		"timeout.example.":       {Fail: resolver.Timeout},
		"silent.example.":        {Delay: time.Hour},
	})
	if dns == nil {
		t.Fatal("open returned nil")
	}

	t.Run("LookupTXT", func(t *testing.T) {
		testLookups(t, dns.LookupTXT, []answer{
			{"a record", "_mta-sts.example.com.", []string{policy}},
			{"upper case", "_MTA-STS.Example.COM.", []string{policy}},
			{"an alias", "_mta-sts.alias.example.", []string{policy}},
			{"several records", "several.example.", several},
			{"more than fits into a datagram", "many.example.", many},
			{"strings of a record are joined without a space", "long.example.", []string{long}},
			{"octets are not changed", "octets.example.", []string{octets}},
		})
		t.Run("the largest record is complete or an error", func(t *testing.T) {
			t.Parallel()
			got, err := within(t, t.Context(), dns.LookupTXT, "largest.example.")
			switch {
			case err != nil && isNotFound(err):
				t.Errorf("error %v means that there is no record", err)
			case err == nil && !slices.Equal(got, []string{largest}):
				t.Errorf("got %d records; want one of %d octets", len(got), len(largest))
			}
		})
	})

	addresses, ok := dns.(interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	})
	if !ok {
		return
	}
	t.Run("LookupNetIP", func(t *testing.T) {
		lookup := func(ctx context.Context, name string) (list []string, err error) {
			addrs, err := addresses.LookupNetIP(ctx, "ip", name)
			for _, addr := range addrs {
				list = append(list, addr.Unmap().String())
			}
			return list, err
		}
		both := []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}
		testLookups(t, lookup, []answer{
			{"both families", "mta-sts.example.com.", both},
			{"upper case", "MTA-STS.Example.COM.", both},
			{"an alias", "mta-sts.alias.example.", both},
			{"IPv4 alone", "four.example.", []string{"192.0.2.4"}},
			{"IPv6 alone", "six.example.", []string{"2001:db8::6"}},
		})
	})
}

// A lookupFunc looks up records of one type and returns them as text.
type lookupFunc func(ctx context.Context, name string) ([]string, error)

// An answer is what a look-up of name must return, in any order.
type answer struct {
	what, name string
	want       []string
}

// testLookups has the tests that are the same for all types.
func testLookups(t *testing.T, lookup lookupFunc, answers []answer) {
	for _, test := range answers {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			test.check(t, lookup)
		})
	}
	for what, name := range map[string]string{
		"a name that does not exist":         "nowhere.example.",
		"a name without such a record":       "other.example.",
		"an alias of an absent name":         "dangling.example.",
		"a name below an existing one":       "a.four.example.",
		"a name above an existing one":       "alias.example.",
		"a single label is not searched for": "nowhere.",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			if got, err := within(t, t.Context(), lookup, name); len(got) > 0 || err != nil && !isNotFound(err) {
				t.Errorf("got %q, error %#v; want a *net.DNSError with IsNotFound, or an empty list", got, err)
			}
		})
	}
	for what, name := range map[string]string{
		"SERVFAIL":          "servfail.example.",
		"REFUSED":           "refused.example.",
		"no answer":         "timeout.example.",
		"alias of SERVFAIL": "failing-alias.example.",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			got, err := within(t, t.Context(), lookup, name)
			wantUnknown(t, got, err)
		})
	}
	t.Run("a context that is cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel) // when the query has been sent
		got, err := within(t, ctx, lookup, "silent.example.")
		wantUnknown(t, got, err)
	})
	t.Run("a context with a deadline", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		got, err := within(t, ctx, lookup, "silent.example.")
		wantUnknown(t, got, err)
	})
	t.Run("a context that has ended", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		got, err := within(t, ctx, lookup, "silent.example.")
		wantUnknown(t, got, err)
	})
	t.Run("many at once", func(t *testing.T) {
		t.Parallel()
		var callers sync.WaitGroup
		defer callers.Wait()
		for range 8 {
			for _, test := range answers {
				callers.Go(func() { test.check(t, lookup) })
			}
		}
	})
}

func (a answer) check(t *testing.T, lookup lookupFunc) {
	got, err := within(t, t.Context(), lookup, a.name)
	got, want := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(a.want))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: got %.200q, error %v; want %.200q", a.name, got, err, want)
	}
}

// wantUnknown asserts that a look-up failed without an answer.
func wantUnknown(t *testing.T, got []string, err error) {
	t.Helper()
	if err == nil || isNotFound(err) {
		t.Errorf("got %q, error %#v; want an error without IsNotFound, since there may be a record", got, err)
	}
}

func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

// within looks up name. It fails the test if the look-up takes more than a minute, or goes on
// for more than 2 seconds after the end of ctx.
func within(t *testing.T, ctx context.Context, lookup lookupFunc, name string) ([]string, error) {
	t.Helper()
	type result struct {
		got []string
		err error
	}
	done := make(chan result, 1)
	go func() {
		got, err := lookup(ctx, name)
		done <- result{got, err}
	}()
	select {
	case r := <-done:
		return r.got, r.err
	case <-time.After(time.Minute):
		t.Errorf("the look-up of %s takes more than a minute", name)
		return nil, errors.New("no answer")
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.got, r.err
	case <-time.After(2 * time.Second):
		t.Errorf("the look-up of %s goes on 2 seconds after the end of its context", name)
		return nil, errors.New("no answer")
	}
}
