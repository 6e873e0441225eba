package resolver_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/resolver"
)

func TestFakeZeroValueHasNoNames(t *testing.T) {
	var dns resolver.Fake
	_, err := dns.LookupTXT(t.Context(), "_mta-sts.example.com.")
	if err, ok := errors.AsType[*net.DNSError](err); !ok || !err.IsNotFound {
		t.Errorf("got %v", err)
	}
	dns.Set("_MTA-STS.example.com", resolver.Records{TXT: []string{"v=STSv1; id=1;"}})
	if got, err := dns.LookupTXT(t.Context(), "_mta-sts.example.com."); err != nil || len(got) != 1 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFakeSetBeforeTheFirstLookupKeepsTheOtherNames(t *testing.T) {
	dns := &resolver.Fake{Names: world()}
	dns.Set("new.example", resolver.Records{TXT: []string{"new"}})
	dns.Set("several.example", resolver.Records{})
	if got, err := dns.LookupTXT(t.Context(), "_mta-sts.example.com."); err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := dns.LookupTXT(t.Context(), "new.example."); err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := dns.LookupTXT(t.Context(), "several.example."); err == nil {
		t.Errorf("removed, but got %q", got)
	}
}

func TestFakeCountsQueries(t *testing.T) {
	dns := &resolver.Fake{Names: world()}
	if n := dns.Queries(""); n != 0 {
		t.Errorf("%d queries before the first", n)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	dns.LookupTXT(over, "_mta-sts.example.com.")
	dns.LookupTXT(t.Context(), "not a name")
	if n := dns.Queries(""); n != 0 {
		t.Errorf("%d queries after look-ups that ask nothing", n)
	}
	dns.LookupTXT(t.Context(), "_mta-sts.example.com.")
	dns.LookupMX(t.Context(), "_MTA-STS.example.com")
	dns.LookupNetIP(t.Context(), "ip", "nowhere.example.")
	dns.LookupTXT(t.Context(), "alias.example.")
	for name, want := range map[string]int{
		"_mta-sts.example.com": 2, "_mta-sts.Example.com.": 2, "nowhere.example": 1, "alias.example": 1, "alias2.example": 0, "": 4,
	} {
		if got := dns.Queries(name); got != want {
			t.Errorf("Queries(%q) = %d, want %d", name, got, want)
		}
	}
}

func TestFakeDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &resolver.Fake{Names: map[string]resolver.Records{
			"slow.example":     {TXT: []string{"slow"}, Delay: 2 * time.Second},
			"fails.example":    {Fail: resolver.Refused, Delay: time.Second},
			"alias.example":    {CNAME: "slow.example", Delay: time.Second},
			"hangs.example":    {TXT: []string{"late"}, Delay: resolver.Limit},
			"for-ever.example": {Delay: 1000 * time.Hour},
		}}
		for _, test := range []struct {
			name     string
			deadline time.Duration
			took     time.Duration
			timeout  bool // IsTimeout
			ended    bool // wraps context.DeadlineExceeded
		}{
			{name: "slow.example", deadline: time.Hour, took: 2 * time.Second},
			{name: "slow.example", deadline: time.Second, took: time.Second, timeout: true, ended: true},
			{name: "fails.example", deadline: time.Hour, took: time.Second},
			{name: "alias.example", deadline: time.Hour, took: 3 * time.Second},
			{name: "hangs.example", deadline: time.Hour, took: resolver.Limit, timeout: true},
			{name: "for-ever.example", deadline: time.Hour, took: resolver.Limit, timeout: true},
			{name: "for-ever.example", deadline: time.Minute / 10, took: time.Minute / 10, timeout: true, ended: true},
			{name: "for-ever.example", deadline: resolver.Limit, took: resolver.Limit, timeout: true, ended: true},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
			begin := time.Now()
			_, err := dns.LookupTXT(ctx, test.name)
			cancel()
			if took := time.Since(begin); took != test.took {
				t.Errorf("%s within %v: took %v, want %v", test.name, test.deadline, took, test.took)
			}
			dns, _ := errors.AsType[*net.DNSError](err)
			if (dns != nil && dns.IsTimeout) != test.timeout || errors.Is(err, context.DeadlineExceeded) != test.ended {
				t.Errorf("%s within %v: got %#v", test.name, test.deadline, err)
			}
		}
	})
}

func TestFakeReturnsWhenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &resolver.Fake{Names: map[string]resolver.Records{"hangs.example": {Delay: resolver.Limit}}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := dns.LookupNetIP(ctx, "ip", "hangs.example.")
			done <- err
		}()
		synctest.Wait() // until the look-up waits
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A caller may change the records that it has set or received, without effect on others.
func TestFakeSharesNoMemory(t *testing.T) {
	txt, mx, addr := []string{"txt"}, []net.MX{{Host: "mx.example."}}, []netip.Addr{four}
	dns := &resolver.Fake{}
	dns.Set("example.com", resolver.Records{TXT: txt, MX: mx, Addr: addr})
	txt[0], mx[0].Host, addr[0] = "changed", "changed.", six
	for range 2 {
		txt, err1 := dns.LookupTXT(t.Context(), "example.com")
		mx, err2 := dns.LookupMX(t.Context(), "example.com")
		addr, err3 := dns.LookupNetIP(t.Context(), "ip", "example.com")
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if txt[0] != "txt" || mx[0].Host != "mx.example." || addr[0] != four {
			t.Errorf("got %q, %v, %v", txt, mx[0], addr)
		}
		txt[0], mx[0].Host, addr[0] = "changed", "changed.", six
	}
}

func TestFakeMayBeUsedConcurrently(t *testing.T) {
	dns := &resolver.Fake{Names: world()}
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for range 100 {
				got, err := dns.LookupTXT(t.Context(), "several.example.")
				if err == nil && len(got) != 3 && !slices.Equal(got, []string{"new"}) {
					t.Errorf("got %q", got)
				}
				if i == 0 {
					dns.Set("several.example.", resolver.Records{TXT: []string{"new"}})
				}
				dns.Queries("")
			}
		})
	}
	callers.Wait()
	if n := dns.Queries("several.example"); n != 800 {
		t.Errorf("%d queries", n)
	}
}

func TestFakeRejectsANameInTwoSpellings(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	dns := &resolver.Fake{Names: map[string]resolver.Records{"Example.com": {}, "example.com.": {}}}
	dns.LookupTXT(t.Context(), "example.org")
}
