package mtasts_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// A cached domain is answered from memory however it is written, even if store and DNS fail.
func TestACachedAnswerNeedsNeitherStoreNorDNS(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.stop()
		store := &brokenStore{Store: new(cache.Memory)}
		e.store = store
		e.start()
		e.cachePolicy()
		none := e.policyFor("none.example")

		store.fail(errors.New("broken"), errors.New("broken"))
		e.blockDNS(resolver.ServFail)
		for _, written := range []string{domain, "EXAMPLE.com", "example.com.", "[example.com]", "example.com:587", "[Example.Com.]:25"} {
			e.want(e.policyFor(written), mtasts.ModeEnforce, "1")
		}
		if again := e.policyFor("None.Example"); again != none {
			t.Errorf("the absence of a policy was found out again: %+v", again)
		}
		if n := e.DNS.Queries(txt); n != 1 {
			t.Errorf("%d queries, want the first only", n)
		}
	})
}

// A cached answer allocates nothing.
func TestACachedAnswerAllocatesNothing(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.policyFor("none.example")
		for _, name := range []string{domain, "example.com.", "none.example"} {
			if n := testing.AllocsPerRun(100, func() {
				if _, err := e.client.PolicyFor(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("PolicyFor(%q) allocates %v times", name, n)
			}
		}
	})
}

// A check may take long. An answer during it costs no more than before.
func TestACachedAnswerDuringACheckAllocatesNothing(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		e.DNS.Set(txt, resolver.Records{Delay: time.Hour})
		for _, wait := range []time.Duration{time.Hour, 10 * time.Second} {
			e.sleep(wait)
			e.policy() // starts the check; then it is under way
			if n := testing.AllocsPerRun(100, func() { e.want(e.policyNow(), mtasts.ModeEnforce, "1") }); n != 0 {
				t.Errorf("PolicyFor allocates %v times during a check", n)
			}
		}
		if n := e.DNS.Queries(txt); n != 2 {
			t.Errorf("%d queries, want that of the check under way, and the first", n)
		}
		e.sleep(time.Hour) // the check has failed
		e.DNS.Set(txt, resolver.Records{TXT: []string{"v=STSv1; id=1"}})
		e.policy()
		if n := e.DNS.Queries(txt); n != 3 {
			t.Errorf("%d queries, want another check", n)
		}
	})
}
