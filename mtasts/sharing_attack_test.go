package mtasts_test

import (
	"context"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// RFC 8461, Section 3.3: an attacker who delays and then forges the answer of the DNS must not hide
// a policy that another relay has fetched meanwhile.
func TestACheckDoesNotHideAPolicyThatArrivesMeanwhile(t *testing.T) {
	for _, contact := range []string{"first", "later"} {
		t.Run(contact, func(t *testing.T) {
			playFleet(t, 2, func(t *testing.T, f *fleet) {
				if contact == "later" {
					f.want(1, mtasts.ModeNone, "")
				}
				f.sleep(6 * time.Minute)
				f.DNS.Set(txt, resolver.Records{Delay: 5 * time.Second}) // no record
				done := make(chan *mtasts.Policy)
				go func() {
					p, _ := f.relays[1].Recheck(t.Context(), domain)
					done <- p
				}()
				f.sleep(time.Second)
				f.publish("1", mtasts.ModeEnforce, week, "mx.example.com")
				f.want(0, mtasts.ModeEnforce, "1")
				if p := <-done; p == nil || p.Mode != mtasts.ModeEnforce {
					t.Errorf("Recheck: %+v", p)
				}
				f.forgeNoRecord()
				f.want(1, mtasts.ModeEnforce, "1")
			})
		})
	}
}

// A store that loses its entries again and again never proves that a domain has no policy.
func TestAStoreThatDoesNotSettleHidesNoPolicy(t *testing.T) {
	playFleet(t, 0, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithCancel(t.Context())
		f.store.Lose()
		relay := mtasts.New(f.store, f.Options())
		f.relays = append(f.relays, relay)
		go func() {
			for ctx.Err() == nil {
				time.Sleep(900 * time.Millisecond)
				f.store.Lose()
			}
		}()
		if p, err := relay.PolicyFor(t.Context(), domain); err == nil {
			t.Errorf("the answer is %q (%v)", p.Mode, p.Cause)
		}
		cancel()
		f.sleep(time.Minute)
		f.want(0, mtasts.ModeNone, "")
	})
}
