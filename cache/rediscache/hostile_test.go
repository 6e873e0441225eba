package rediscache_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/valkey-io/valkey-go"
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

func TestACopyThatCannotBeReadIsNotNeededForWhatTheServerHas(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	put(t, open(t, s.option(), nil), domain, "value", time.Now())
	store := open(t, s.option(), &rediscache.Options{Fallback: filepath.Join(t.TempDir(), "copy.db")})
	store.Copy().Close()
	want(t, store, domain, "value")
	if _, ok, err := store.Get(t.Context(), "example.net"); err == nil {
		t.Errorf("the copy may have it: %v, no error", ok)
	}
}

// A lease that outlives its time would end all refreshes: no relay would walk.
func TestALeaseThatDoesNotEndIsTaken(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	store := open(t, s.option(), nil)
	for name, command := range map[string][]string{
		"the clock of the server was ahead": {"SET", "mtasts:lease:walk", "", "EX", "31536000"},
		"it has no end":                     {"SET", "mtasts:lease:walk", ""},
		"it is a list":                      {"RPUSH", "mtasts:lease:walk", "x"},
	} {
		s.do("DEL", "mtasts:lease:walk")
		s.do(command...)
		if ok, err := store.Lease(t.Context(), "walk", time.Minute); !ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if ok, err := store.Lease(t.Context(), "walk", time.Minute); ok || err != nil {
			t.Errorf("%s: two have the lease (%v)", name, err)
		}
	}
}

// Each relay notes the last use of a policy once a day. Its clock may be ahead.
func TestARelayWhoseClockIsAheadDoesNotShortenTheLifeOfAnEntry(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	fetched := time.Now().Add(-week) // by the clock of that relay
	change := cache.Change{Key: domain, Value: []byte("value"), Fetched: fetched, Expires: fetched.Add(week)}
	if err := open(t, s.option(), nil).Write(t.Context(), []cache.Change{change}); err != nil {
		t.Fatal(err)
	}
	if ms, err := strconv.ParseInt(s.do("PTTL", "mtasts:1:"+domain), 10, 64); err != nil || ms < week.Milliseconds() {
		t.Errorf("the server keeps a policy of a week for %d ms (%v)", ms, err)
	}
}

func TestASecondLossProlongsTheTimeInWhichAnAbsentKeyProvesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	store, err := rediscache.OpenWithGrace(s.option(), nil, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	second := make(chan time.Time)
	time.AfterFunc(time.Second, func() {
		s.do("FLUSHALL")
		store.Get(t.Context(), domain)
		second <- time.Now()
	})
	waited, err := store.Settle(t.Context())
	if after := time.Since(<-second); !waited || err != nil || after < 1500*time.Millisecond {
		t.Errorf("Settle = %v, %v, %v after the second loss", waited, err, after)
	}
}

func TestWhileANodeOfAClusterIsDownNothingIsReadAgain(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 0)
	for _, s := range nodes {
		s.do("CONFIG", "SET", "cluster-require-full-coverage", "no")
	}
	store := open(t, clusterOption(nodes), nil)
	if !eventually(func() bool { return store.Stats().Connected }) {
		t.Fatal("not connected")
	}
	nodes[0].kill()
	if !eventually(func() bool { return !store.Stats().Connected }) {
		t.Fatal("still connected")
	}
	var notices atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	go store.Watch(ctx, func(n mtasts.Notice) {
		if n.Key == "" {
			notices.Add(1)
		}
	})
	absent := 0
	for i := 0; ctx.Err() == nil; i++ {
		if _, _, err := store.Get(ctx, fmt.Sprintf("host%d.example", i)); err == nil {
			absent++
		}
	}
	if n := notices.Load(); n > 1 || absent > 0 {
		t.Errorf("%d notices of all keys; %d absent keys prove something", n, absent)
	}
}

func TestASentinelThatDoesNotAnswerDelaysOpenByTwoSeconds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // it answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	open(t, valkey.ClientOption{InitAddress: []string{l.Addr().String()}, Sentinel: valkey.SentinelOption{MasterSet: "x"}}, nil)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("Open took %v", took)
	}
}

// A server that has been up for long may have lost entries too: somebody has emptied it, or a
// replica has taken its place.
func TestARelayThatStartsAfterALossIsNotTalkedDown(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.await("it has been up for a while", func() bool { return s.says("uptime_in_seconds:5", "INFO", "server") })
	store, err := rediscache.OpenWithGrace(s.option(), nil, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if waited, err := store.Settle(t.Context()); !waited || err != nil {
		t.Errorf("an absent key proves something at once (%v)", err)
	}
}
