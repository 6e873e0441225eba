package mtasts_test

import (
	"errors"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// What is remembered is answered from memory however the domain is written, and whatever
// has become of the store and the DNS.
func TestCachedAnswerNeedsNobody(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.stop()
		store := &brokenStore{Store: new(cache.Memory)}
		e.store = store
		e.start()
		e.learn()
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
func TestCachedAnswerAllocatesNothing(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.learn()
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
