package rediscache_test

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/cache/rediscache"
)

// Somebody else's mistake under one key must not stop the walk over all, nor block a batch.
func TestAKeyThatHoldsNoEntryHurtsNoOther(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFleet(t, s.option())
	f.publish(domain, "1", "mx.example.com")
	relay := f.relay(nil)
	f.enforced(relay, domain, "1")
	f.saved(relay)
	for name, command := range map[string][]string{
		"list.example":    {"RPUSH", "x"},
		"short.example":   {"SET", "x"},
		"empty.example":   {"SET", ""},
		"garbage.example": {"SET", "0123456789abcdefghijklmnopqrstuvwxyz"},
	} {
		s.do(command[0], "mtasts:1:"+name, command[1])
		if !slices.Contains(slices.Collect(maps.Keys(scanAll(t, open(t, s.option(), nil), 10))), domain) {
			t.Errorf("%s: a walk does not find another entry", name)
		}
		f.publish(name, "1", "mx.example.com")
		fresh := f.relay(nil)
		f.enforced(fresh, name, "1") // fetched
		f.saved(fresh)
		f.enforced(f.relay(nil), name, "1")
		if n := f.Requests(name); n != 1 {
			t.Errorf("%s: fetched %d times; the entry is not replaced", name, n)
		}
	}
}

// Damage is a read error, not the lack of a policy.
func TestDamageIsNoAbsence(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFleet(t, s.option())
	s.do("RPUSH", "mtasts:1:"+domain, "x")
	if p, err := f.relay(nil).PolicyFor(t.Context(), domain); err == nil {
		t.Errorf("with a damaged entry: %+v", p)
	}
}

func TestAHugeValueIsNotReadIntoMemory(t *testing.T) {
	s := startServer(t)
	store := open(t, s.option(), nil)
	s.do("SETRANGE", "mtasts:1:"+domain, "200000000", "x")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	store.Get(t.Context(), domain)
	store.Scan(t.Context(), "", 10)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 10<<20 {
		t.Errorf("a value of 200 MB takes %d octets", n)
	}
}

// brokenStore cannot be read, such as a damaged file.
type brokenStore struct{ cache.Memory }

func (*brokenStore) Get(context.Context, string) ([]byte, bool, error) {
	return nil, false, errors.New("damaged")
}

func TestACopyThatCannotBeReadIsNotNeededForWhatTheServerHas(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	put(t, open(t, s.option(), nil), domain, "value", time.Now())
	store := open(t, s.option(), &rediscache.Options{Fallback: new(brokenStore)})
	want(t, store, domain, "value")
	if _, ok, err := store.Get(t.Context(), "example.net"); err == nil {
		t.Errorf("the copy may have it: %v, no error", ok)
	}
}
