package rediscache_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
	"github.com/valkey-io/valkey-go"
)

const (
	domain = "example.com"
	week   = 7 * 24 * time.Hour
)

// A fleet is relays in one World, each with a store of its own on the same server.
type fleet struct {
	*mtaststest.World
	t      *testing.T
	option valkey.ClientOption
}

func newFleet(t *testing.T, option valkey.ClientOption) *fleet {
	return &fleet{mtaststest.NewWorld(), t, option}
}

// relay starts a relay. opts may be nil.
func (f *fleet) relay(opts *rediscache.Options) *mtasts.Client {
	f.t.Helper()
	store, err := rediscache.Open(f.option, opts)
	if err != nil {
		f.t.Fatal(err)
	}
	client := mtasts.New(store, f.Options())
	f.t.Cleanup(func() { client.Close() }) // a test that has ended its server may lose policies
	return client
}

func (f *fleet) publish(name, id string, mx string) {
	f.Publish(name, id, mtaststest.Policy(mtasts.ModeEnforce, week, mx))
}

// forge is an attacker who makes the record of a domain disappear.
func (f *fleet) forge(name string) { f.DNS.Set("_mta-sts."+name, resolver.Records{}) }

// enforced asserts that the answer for a domain is a policy of mode enforce.
func (f *fleet) enforced(relay *mtasts.Client, name, id string) {
	f.t.Helper()
	if p, err := relay.PolicyFor(f.t.Context(), name); err != nil || p.Mode != mtasts.ModeEnforce || p.ID != id {
		f.t.Fatalf("PolicyFor(%q) = %+v, %v; want mode enforce and id %s", name, p, err, id)
	}
}

// saved waits until a relay has written all that it has fetched.
func (f *fleet) saved(relay *mtasts.Client) {
	f.t.Helper()
	if !eventually(func() bool { return relay.Stats().Unsaved == 0 }) {
		f.t.Fatal("the relay does not write its policies")
	}
}

// deferred waits until the answer for a domain that the relay does not know is an error.
func (f *fleet) deferred(relay *mtasts.Client, name string) {
	f.t.Helper()
	if !eventually(func() bool { _, err := relay.PolicyFor(f.t.Context(), name); return err != nil }) {
		f.t.Errorf("without the server, PolicyFor(%q) gives no error", name)
	}
}

func TestRelaysOnOneServerBehaveLikeOne(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).option())
	f.publish(domain, "1", "mx.example.com")
	f.SetPolicyHost(domain, mtaststest.PolicyHost{Body: mtaststest.Policy(mtasts.ModeEnforce, week, "old.example.com"), Delay: 200 * time.Millisecond})
	relays := []*mtasts.Client{f.relay(nil), f.relay(nil), f.relay(nil)}
	var work sync.WaitGroup
	for _, relay := range relays {
		work.Go(func() { f.enforced(relay, domain, "1") })
	}
	work.Wait()
	if n := f.Requests(domain); n != 1 {
		t.Errorf("three relays fetched the policy %d times", n)
	}
	f.saved(relays[0])

	// The violation that one relay sees makes all of them check.
	f.publish(domain, "2", "new.example.com")
	p, err := relays[0].PolicyFor(t.Context(), domain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.CheckMX("new.example.com"); !errors.Is(err, mtasts.ErrNotListed) {
		t.Fatalf("CheckMX: %v", err)
	}
	if !eventually(func() bool {
		p, err := relays[1].PolicyFor(t.Context(), domain)
		return err == nil && p.ID == "2"
	}) {
		t.Fatal("a violation of one relay is not known to another")
	}
	// What that one has fetched comes to all without DNS.
	f.forge(domain)
	for _, relay := range relays {
		if !eventually(func() bool {
			p, err := relay.PolicyFor(t.Context(), domain)
			return err == nil && p.ID == "2"
		}) {
			t.Error("a change does not reach each relay")
		}
	}
	if n := f.Requests(domain); n != 2 {
		t.Errorf("three relays fetched two policies %d times", n)
	}
}

func TestWithoutTheServerMemoryServes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFleet(t, s.option())
	relay := f.relay(nil)
	f.publish(domain, "1", "mx.example.com")
	f.publish("example.net", "1", "mx.example.net")
	f.enforced(relay, domain, "1")
	f.saved(relay)
	s.kill()
	f.forge(domain)
	f.deferred(relay, "example.org")
	f.enforced(relay, domain, "1")
	s.start() // empty
	if !eventually(func() bool { p, err := relay.PolicyFor(t.Context(), "example.net"); return err == nil && p.ID == "1" }) {
		t.Fatal("the server is back, and a new domain is still an error")
	}
	f.enforced(f.relay(nil), domain, "1")
	f.enforced(f.relay(nil), "example.net", "1")
}

func TestWithAFallbackARelayWorksWithoutTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFleet(t, s.option())
	f.publish(domain, "1", "mx.example.com")
	f.publish("example.net", "1", "mx.example.net")
	other := f.relay(nil)
	f.enforced(other, domain, "1")
	f.saved(other)

	path := filepath.Join(t.TempDir(), "copy.db")
	open := func() *mtasts.Client {
		return f.relay(&rediscache.Options{Fallback: path})
	}
	relay := open()
	f.enforced(relay, domain, "1") // from the server
	if n := f.Requests(domain); n != 1 {
		t.Errorf("%d requests", n)
	}
	if err := relay.Close(); err != nil {
		t.Fatal(err)
	}
	s.kill()
	f.forge(domain)
	relay = open() // its memory is empty
	f.enforced(relay, domain, "1")
	f.enforced(relay, "example.net", "1") // looked up
	if err := relay.Close(); err != nil {
		t.Error(err)
	}
	relay = open()
	f.forge("example.net")
	f.enforced(relay, "example.net", "1")

	s.start() // empty
	if !eventually(func() bool { return strings.Contains(s.do("KEYS", "*"), "example.net") }) {
		t.Fatal("the server is back, and the relay does not write what it has fetched")
	}
	s.kill() // once more
	f.publish("example.org", "1", "mx.example.org")
	f.enforced(relay, "example.org", "1")
	f.forge("example.org")
	s.start()
	if !eventually(func() bool { return s.says("example.org", "KEYS", "*") && s.says("example.net", "KEYS", "*") }) {
		t.Fatal("after a second outage, the relay does not write what it has fetched")
	}
	fresh := f.relay(nil)
	for _, name := range []string{domain, "example.net", "example.org"} {
		f.enforced(fresh, name, "1")
	}
}

// RFC 8461, Section 3.3: a policy holds until it expires, also if the server has lost it.
func TestAServerThatIsRestartedEmptyTalksNoRelayDown(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFleet(t, s.option())
	relay := f.relay(nil)
	var names []string
	for i := range 2000 {
		name := fmt.Sprintf("host%d.example", i)
		f.publish(name, "1", "mx."+name)
		names = append(names, name)
	}
	var work sync.WaitGroup
	for _, name := range names {
		work.Go(func() { f.enforced(relay, name, "1") })
	}
	work.Wait()
	f.saved(relay)
	for _, name := range names {
		f.forge(name)
	}
	connected := f.relay(nil) // with an empty memory
	f.enforced(connected, names[0], "1")
	s.kill()
	s.start()
	started := f.relay(nil)
	for _, name := range names[1:] {
		for _, relay := range []*mtasts.Client{connected, started} {
			work.Go(func() {
				if p, err := relay.PolicyFor(t.Context(), name); err == nil && p.Mode != mtasts.ModeEnforce {
					t.Errorf("%s has mode %q: %v", name, p.Mode, p.Cause)
				}
			})
		}
	}
	work.Wait()
	f.enforced(connected, names[1], "1")
	f.enforced(started, names[2], "1")
}

// flood writes to a server of 20 MB until done.
func flood(t *testing.T, s *server, done func() bool) {
	t.Helper()
	store := open(t, s.option(), &rediscache.Options{Prefix: "flood"})
	for i := 0; i < 1000 && !done(); i++ {
		var changes []cache.Change
		for j := range 50 {
			changes = append(changes, cache.Change{Key: fmt.Sprintf("host%d-%d.example", i, j), Value: make([]byte, 2<<10), Expires: time.Now().Add(hour)})
		}
		if err := store.Write(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
	}
	if !done() {
		t.Fatal("a flood has no effect")
	}
}

func TestAnEvictedPolicyIsWrittenBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru")
	f := newFleet(t, s.option())
	f.publish(domain, "1", "mx.example.com")
	relay := f.relay(nil)
	f.enforced(relay, domain, "1")
	f.saved(relay)
	f.forge(domain)

	watched := open(t, s.option(), nil)
	var evictions atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go watched.Watch(ctx, func(n mtasts.Notice) {
		if n.Key == domain {
			evictions.Add(1)
		}
	})
	flood(t, s, func() bool { return evictions.Load() > 0 })
	if !eventually(func() bool { return s.says("1", "EXISTS", "mtasts:1:"+domain) }) {
		t.Fatal("an evicted policy is not written back")
	}
	f.enforced(f.relay(nil), domain, "1")
}

// A full server that does not evict refuses what is new. The relay keeps that in memory.
func TestAFullServerLosesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--maxmemory", "100kb", "--maxmemory-policy", "noeviction") // it takes more when empty
	f := newFleet(t, s.option())
	f.publish(domain, "1", "mx.example.com")
	relay := f.relay(nil)
	f.enforced(relay, domain, "1")
	if !eventually(func() bool { return relay.Stats().StoreErrors > 0 }) {
		t.Error("Stats do not tell that the server is full")
	}
	// Nor does a copy grow beyond the server.
	copied := open(t, s.option(), &rediscache.Options{Fallback: filepath.Join(t.TempDir(), "copy.db")})
	change := cache.Change{Key: domain, Value: make([]byte, 2<<10), Expires: time.Now().Add(hour)}
	if err := copied.Write(t.Context(), []cache.Change{change}); err == nil {
		t.Error("the server is full, and Write says nothing")
	}
	if _, ok, err := copied.Copy().Get(t.Context(), domain); ok || err != nil {
		t.Errorf("the copy has what the server has refused (%v)", err)
	}
	f.forge(domain)
	f.enforced(relay, domain, "1")
	s.do("CONFIG", "SET", "maxmemory", "0")
	f.saved(relay)
	f.enforced(f.relay(nil), domain, "1")
}

// A server that is cut off, or slow, delays no answer that memory has.
func TestAFrozenServerDelaysNoCachedAnswer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFleet(t, s.option())
	f.publish(domain, "1", "mx.example.com")
	f.publish("example.net", "1", "mx.example.net")
	relay := f.relay(nil)
	f.enforced(relay, domain, "1")
	f.saved(relay)
	s.freeze()
	began := time.Now()
	f.enforced(relay, domain, "1")
	if took := time.Since(began); took > 100*time.Millisecond {
		t.Errorf("a cached answer took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := relay.PolicyFor(ctx, "example.org"); err == nil || ctx.Err() != nil {
		t.Errorf("a domain that may have a policy: %v, %v", err, ctx.Err())
	}
	s.thaw()
	if !eventually(func() bool { p, err := relay.PolicyFor(t.Context(), "example.net"); return err == nil && p.ID == "1" }) {
		t.Error("the server goes on, and the relay does not")
	}
}
