package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// warm warms names and returns the last progress.
func (e *env) warm(names ...string) (last mtasts.WarmProgress) {
	e.t.Helper()
	err := e.client.Warm(e.t.Context(), slices.Values(names), func(p mtasts.WarmProgress) {
		if p.Done() != last.Done()+1 {
			e.t.Errorf("progress is %+v after %+v", p, last)
		}
		last = p
	})
	if err != nil {
		e.t.Errorf("Warm: %v", err)
	}
	last.Domain, last.Err = "", nil
	return last
}

func enforced() string { return mtaststest.Policy(mtasts.ModeEnforce, 60*day, "mx.example.com") }

func TestWarmCountsByOutcome(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.Publish("good.example", "1", enforced())
		e.Publish("broken.example", "1", "mode: enforce")
		e.DNS.Set("_mta-sts.lame.example", resolver.Records{Fail: resolver.ServFail})
		list := []string{"GOOD.example.", "broken.example", "lame.example", "without.example", "[192.0.2.1]", "a b", ""}
		if got, want := e.warm(list...), (mtasts.WarmProgress{Fetched: 1, None: 1, Failed: 2, Invalid: 3}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		e.want(e.policyFor("good.example"), mtasts.ModeEnforce, "1")
		if n := e.Requests("good.example"); n != 1 {
			t.Errorf("the policy host was asked %d times, want 1", n)
		}
	})
}

// Neither is a cached policy fetched again, nor is the DNS asked about it.
func TestWarmGoesOn(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		var names []string
		for i := range 10 {
			names = append(names, fmt.Sprintf("d%d.example", i))
			e.Publish(names[i], "1", enforced())
		}
		ctx, stop := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		err := e.client.Warm(ctx, func(yield func(string) bool) {
			for i, name := range names {
				if i == 5 {
					synctest.Wait()
					stop(enough)
				}
				if !yield(name) {
					return
				}
			}
		}, nil)
		if !errors.Is(err, enough) {
			t.Errorf("Warm: %v, want %v", err, enough)
		}
		e.restart()
		if got, want := e.warm(names...), (mtasts.WarmProgress{Fetched: 5, Cached: 5}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		for _, name := range names {
			if n := e.DNS.Queries("_mta-sts." + name); n != 1 {
				t.Errorf("%s: %d TXT look-ups, want 1", name, n)
			}
		}
	})
}

func TestWarmEndsWithTheClient(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.DNS.Set("_mta-sts.slow.example", resolver.Records{Delay: resolver.Limit})
		go func() {
			time.Sleep(time.Second)
			e.client.Close()
		}()
		err := e.client.Warm(t.Context(), slices.Values([]string{"slow.example"}), nil)
		if !errors.Is(err, mtasts.ErrClosed) {
			t.Errorf("Warm: %v, want %v", err, mtasts.ErrClosed)
		}
	})
}

// A warmed domain is in use for 30 days, and longer if it is warmed again.
func TestWarmIsAUse(t *testing.T) {
	for _, restart := range []bool{false, true} {
		play(t, func(t *testing.T, e *env) {
			for _, name := range []string{"once.example", "again.example"} {
				e.Publish(name, "1", enforced())
			}
			e.warm("once.example", "again.example")
			stop := e.run()
			e.sleep(20 * day)
			if restart {
				stop()
				e.restart()
				stop = e.run()
			}
			e.warm("again.example")
			e.sleep(20 * day)
			age := make(map[string]time.Duration)
			for c, err := range e.client.All(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				age[c.Policy.Domain] = time.Since(c.Policy.Fetched)
			}
			stop()
			if age["again.example"] > day || age["once.example"] < 9*day || age["once.example"] > 11*day {
				t.Errorf("ages after 40 days, with a restart %v: %v", restart, age)
			}
		})
	}
}

// A provider of many domains is not overrun, and does not hold up the others.
func TestWarmKeepsThePace(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		shared := netip.MustParseAddr("192.0.2.1")
		var names []string
		for i := range 500 {
			names = append(names, fmt.Sprintf("d%03d.example", i))
			e.Publish(names[i], "1", enforced())
			e.DNS.Set("mta-sts."+names[i], resolver.Records{Addr: []netip.Addr{shared}})
		}
		names = append(names, "z.example")
		e.Publish("z.example", "1", enforced())
		start := time.Now()
		other := time.Hour
		if err := e.client.Warm(t.Context(), slices.Values(names), func(p mtasts.WarmProgress) {
			if p.Domain == "z.example" {
				other = time.Since(start)
			}
		}); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 24*time.Second || took > 26*time.Second {
			t.Errorf("500 domains at one address took %v, want 25 s", took)
		}
		if other > time.Second {
			t.Errorf("a domain at another address took %v", other)
		}
	})
}
