package rediscache_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/mtasts"
)

// A copy that is older than what the server has brings nothing back.
func TestACopyDoesNotUndoForget(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).option())
	f.publish(domain, "1", "mx.example.com")
	path := filepath.Join(t.TempDir(), "copy.db")
	relay := f.relay(&rediscache.Options{Fallback: path})
	f.enforced(relay, domain, "1")
	f.saved(relay)
	if err := relay.Close(); err != nil {
		t.Fatal(err)
	}
	f.forge(domain)
	other := f.relay(nil)
	f.enforced(other, domain, "1")
	if err := other.Forget(t.Context(), domain); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		relay = f.relay(&rediscache.Options{Fallback: path})
		for _, relay := range []*mtasts.Client{relay, other} {
			if p, err := relay.PolicyFor(t.Context(), domain); err != nil || p.Mode != mtasts.ModeNone {
				t.Errorf("after Forget: %+v, %v", p, err)
			}
		}
		if err := relay.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatHasExpiredIsRemovedFromTheCopy(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	path := filepath.Join(t.TempDir(), "copy.db")
	store := open(t, s.option(), &rediscache.Options{Fallback: path})
	fetched := time.Now().Add(-week)
	for key, ago := range map[string]time.Duration{"long.example": 25 * hour, "just.example": hour, "valid.example": -hour} {
		change := cache.Change{Key: key, Value: []byte(key), Fetched: fetched, Expires: time.Now().Add(-ago)}
		if err := store.Write(t.Context(), []cache.Change{change}); err != nil {
			t.Fatal(err)
		}
	}
	store.Close()
	store = open(t, s.option(), &rediscache.Options{Fallback: path})
	if !eventually(func() bool {
		keys, _, err := store.Copy().Scan(t.Context(), "", 10)
		return err == nil && slices.Equal(keys, []string{"just.example", "valid.example"})
	}) {
		t.Error("the copy keeps what expired a day ago, or not the rest")
	}
}

// A file of a relay that worked alone is the copy of one in a fleet, and the reverse.
func TestARelayJoinsAFleetWithItsFileAndLeavesWithIt(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFleet(t, s.option())
	path := filepath.Join(t.TempDir(), "policies.db")
	alone := func() *mtasts.Client {
		client, err := mtasts.Open(path, f.Options())
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	end := func(client *mtasts.Client) {
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f.publish(domain, "1", "mx.example.com")
	relay := alone()
	f.enforced(relay, domain, "1")
	end(relay)
	f.forge(domain)

	relay = f.relay(&rediscache.Options{Fallback: path})
	other := f.relay(nil) // it has no file, and reads the server
	if !eventually(func() bool { return s.says("1", "EXISTS", "mtasts:1:"+domain) }) {
		t.Fatal("the relay does not bring its policies along")
	}
	f.enforced(other, domain, "1")
	f.publish("example.net", "1", "mx.example.net")
	f.enforced(relay, "example.net", "1")
	end(relay)
	f.forge("example.net")

	relay = alone()
	f.enforced(relay, domain, "1")
	f.enforced(relay, "example.net", "1")
	end(relay)
}

func TestTheCopyRestoresWhatTheServerHasLost(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	store := open(t, s.option(), &rediscache.Options{Fallback: filepath.Join(t.TempDir(), "copy.db")})
	put(t, store, "before.example", "value", time.Now())
	s.kill()
	put(t, store, "meanwhile.example", "value", time.Now())
	want(t, store, "meanwhile.example", "value")
	if all := scanAll(t, store, 1); len(all) != 2 {
		t.Errorf("without the server, Scan finds %q", all)
	}
	s.start()
	for _, key := range []string{"before.example", "meanwhile.example"} {
		if !eventually(func() bool { return s.says("1", "EXISTS", "mtasts:1:"+key) }) {
			t.Errorf("%s is not restored", key)
		}
	}
}
