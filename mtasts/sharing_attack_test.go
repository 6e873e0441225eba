package mtasts_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
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

// The policies in memory serve, so an operator needs no event for each of them.
func TestAnOutageCausesNoEventForEachCachedDomain(t *testing.T) {
	playFleet(t, 1, func(t *testing.T, f *fleet) {
		var names []string
		for i := range 20 {
			name := fmt.Sprintf("host%d.example", i)
			f.Publish(name, "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx."+name))
			names = append(names, name)
		}
		ask := func() {
			for _, name := range names {
				if p, err := f.relays[0].PolicyFor(t.Context(), name); err != nil || p.Mode != mtasts.ModeEnforce {
					t.Errorf("%s: %v, %v", name, p, err)
				}
			}
			f.sleep(6 * time.Minute)
		}
		ask()
		f.fails.Store(true)
		ask()
		ask()
		events := 0
		for _, e := range f.Events() {
			if e.Kind == mtasts.EventStore {
				events++
			}
		}
		if events > 1 {
			t.Errorf("%d events", events)
		}
	})
}
