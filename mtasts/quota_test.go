package mtasts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

func TestTheQuotaEvictsFirstWhatProtectsLeast(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.Quota = 30_000
		e.restart()
		text := func(mode mtasts.Mode) string {
			return mtaststest.Policy(mode, 365*day, "mx.example.com") + strings.Repeat("#", 850)
		}
		cachePolicy := func(mode mtasts.Mode, name string) {
			e.Publish(name, "1", text(mode))
			if p := e.policyFor(name); p.Mode != mode {
				t.Fatalf("%s: %+v", name, p)
			}
		}
		stop := e.run()
		for i := range 5 {
			cachePolicy(mtasts.ModeEnforce, fmt.Sprintf("idle%d.example", i))
		}
		e.sleep(10 * day)
		for i := range 5 {
			cachePolicy(mtasts.ModeNone, fmt.Sprintf("none%d.example", i))
			cachePolicy(mtasts.ModeTesting, fmt.Sprintf("testing%d.example", i))
			cachePolicy(mtasts.ModeEnforce, fmt.Sprintf("used%d.example", i))
		}
		e.sleep(3 * time.Hour)
		if n := len(e.events(mtasts.EventEvicted)); n != 0 {
			t.Fatalf("%d entries were evicted below the quota", n)
		}
		evicted := func() (names []string) {
			for _, ev := range e.events(mtasts.EventEvicted) {
				if ev.Policy == nil || ev.Reason == "" {
					t.Errorf("event %+v", ev)
				}
				names = append(names, ev.Domain[:4])
			}
			return names
		}
		more := func(from, to int) {
			for i := from; i < to; i++ {
				cachePolicy(mtasts.ModeEnforce, fmt.Sprintf("more%d.example", i))
			}
			e.sleep(3 * time.Hour)
		}
		more(0, 13)
		first := evicted()
		if len(first) == 0 || slices.ContainsFunc(first, func(s string) bool { return s != "none" && s != "test" }) {
			t.Errorf("evicted: %q; want mode none, then testing", first)
		}
		more(13, 23)
		second := evicted()[len(first):]
		if !slices.Contains(second, "idle") || slices.ContainsFunc(second, func(s string) bool { return s == "used" || s == "more" }) {
			t.Errorf("then evicted: %q; want those that nobody asked about", second)
		}
		more(23, 60)
		for _, name := range evicted() {
			if name == "used" || name == "more" {
				t.Errorf("a policy that enforces and is in use was evicted")
			}
		}
		if n := len(evicted()); e.client.Stats().Evictions != uint64(n) {
			t.Errorf("Stats counts %d evictions, want %d", e.client.Stats().Evictions, n)
		}
		full := slices.ContainsFunc(e.events(mtasts.EventStore), func(ev mtasts.Event) bool { return ev.Reason == "store-full" })
		if !full {
			t.Error("no event says that the store is full")
		}
		size := 0
		keys, values, err := e.store.Scan(t.Context(), "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			size += len(keys[i]) + len(values[i])
		}
		if size > 40_000 {
			t.Errorf("the store holds %d octets, with a quota of 30,000", size)
		}
		stop()
	})
}

// A store that is full of enforced policies refuses more. Those are stored once there is room.
func TestWhatAFullStoreHasRefusedIsStoredOnceThereIsRoom(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.opts.Quota = 30_000
		e.restart()
		stop := e.run()
		defer stop()
		name := func(i int) string { return fmt.Sprintf("d%d.example", i) }
		ask := func(from, to int) {
			for i := from; i < to; i++ {
				e.policyFor(name(i))
			}
			e.sleep(time.Minute)
		}
		for i := range 60 {
			e.Publish(name(i), "1", mtaststest.Policy(mtasts.ModeEnforce, 365*day, "mx.example.com")+strings.Repeat("#", 850))
		}
		ask(0, 60)
		stored := func(i int) bool {
			_, ok, err := e.store.Get(t.Context(), name(i))
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if stored(59) {
			t.Fatal("the store takes any number of policies that enforce")
		}
		for range 10 { // the stored domains are idle
			e.sleep(day)
			ask(45, 60)
		}
		for i := 45; i < 60; i++ {
			if !stored(i) {
				t.Errorf("%s, which is in use, is not stored, though others are not in use", name(i))
			}
		}
	})
}
