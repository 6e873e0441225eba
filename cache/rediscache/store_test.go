package rediscache_test

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/valkey-io/valkey-go"
)

func TestRedisIsAStore(t *testing.T) {
	s := startServer(t)
	n := 0
	reopen := func(t *testing.T) mtasts.Store {
		store, err := rediscache.OpenWithGrace(s.option(), &rediscache.Options{Prefix: "test" + strconv.Itoa(n)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	mtaststest.TestStore(t, func(t *testing.T) mtasts.Store { n++; return reopen(t) }, reopen)
	mtaststest.TestShared(t, func(t *testing.T) (a, b mtasts.SharedStore) {
		n++
		return reopen(t).(mtasts.SharedStore), reopen(t).(mtasts.SharedStore)
	})
}

const hour = time.Hour

func put(t *testing.T, store mtasts.Store, key, value string, fetched time.Time) {
	t.Helper()
	change := cache.Change{Key: key, Value: []byte(value), Fetched: fetched, Expires: time.Now().Add(hour)}
	if err := store.Write(t.Context(), []cache.Change{change}); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, store mtasts.Store, key string) string {
	t.Helper()
	value, ok, err := store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return "(none)"
	}
	return string(value)
}

func want(t *testing.T, store mtasts.Store, key, value string) {
	t.Helper()
	if got := get(t, store, key); got != value {
		t.Errorf("Get(%q) = %.80q, want %q", key, got, value)
	}
}

// The store sends the life of an entry, and not its end, so the clock of the server does not
// matter. A removal at the end of the policy would look like a loss.
func TestTheServerKeepsAnEntryLongerThanItsPolicyLives(t *testing.T) {
	s := startServer(t)
	store := open(t, s.option(), nil)
	for key, expires := range map[string]time.Duration{"past.example": -hour, "hour.example": hour, "year.example": 365 * 24 * hour} {
		now := time.Now()
		change := cache.Change{Key: key, Value: []byte("value"), Fetched: now, Expires: now.Add(expires)}
		if err := store.Write(t.Context(), []cache.Change{change}); err != nil {
			t.Fatal(err)
		}
		reply := s.do("PTTL", "mtasts:1:"+key)
		ms, err := strconv.ParseInt(reply, 10, 64)
		if life := time.Duration(ms) * time.Millisecond; err != nil || life < max(expires, 0)+23*hour || life > max(expires, 0)+25*hour {
			t.Errorf("%s, which expires in %v: the server keeps it for %v (%v)", key, expires, life, err)
		}
	}
}

func TestTheStoreConnectsWhenThereIsAServer(t *testing.T) {
	s := startServer(t)
	s.kill()
	began := time.Now()
	store := open(t, s.option(), nil)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Open without a server took %v", took)
	}
	if _, _, err := store.Get(t.Context(), "example.com"); err == nil {
		t.Error("Get without a server: no error")
	}
	if store.Stats().Connected {
		t.Error("Stats: connected")
	}
	s.start()
	if !eventually(func() bool { return store.Stats().Connected }) {
		t.Fatal("the store does not connect")
	}
	put(t, store, "example.com", "value", time.Now())
	want(t, store, "example.com", "value")

	s.kill()
	began = time.Now()
	if _, _, err := store.Get(t.Context(), "example.com"); err == nil {
		t.Error("Get without a server: no error")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Get without a server took %v", took)
	}
	s.start()
	if !eventually(func() bool { _, ok, err := store.Get(t.Context(), "example.com"); return err == nil && !ok }) {
		t.Error("the store does not connect again")
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := startServer(t)
	store := open(t, s.option(), nil)
	store.Close()
	if _, _, err := store.Get(t.Context(), "example.com"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Get: %v, want fs.ErrClosed", err)
	}
	if err := store.Write(t.Context(), []cache.Change{{Key: "example.com"}}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write: %v, want fs.ErrClosed", err)
	}
	if _, _, err := store.Scan(t.Context(), "", 1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Scan: %v, want fs.ErrClosed", err)
	}
}

func TestAFrozenServerDelaysNoCallBeyondItsContext(t *testing.T) {
	s := startServer(t)
	store := open(t, s.option(), nil)
	put(t, store, "example.com", "value", time.Now())
	s.freeze()
	defer s.thaw()
	for name, call := range map[string]func(context.Context) error{
		"Get":   func(ctx context.Context) error { _, _, err := store.Get(ctx, "example.com"); return err },
		"Scan":  func(ctx context.Context) error { _, _, err := store.Scan(ctx, "", 10); return err },
		"Write": func(ctx context.Context) error { return store.Write(ctx, []cache.Change{{Key: "example.com"}}) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		began := time.Now()
		err := call(ctx)
		cancel()
		if took := time.Since(began); err == nil || took > time.Second {
			t.Errorf("%s: %v after %v; want an error after 100ms", name, err, took)
		}
	}
}

func TestAnInvalidPrefixIsAnError(t *testing.T) {
	for _, prefix := range []string{"{tag}", "a*", "a:b", "\x00", "é"} {
		if _, err := rediscache.Open(valkey.ClientOption{}, &rediscache.Options{Prefix: prefix}); err == nil {
			t.Errorf("prefix %q: no error", prefix)
		}
	}
}

// With any policy but noeviction, an attacker can have the server evict what it is to keep.
func TestAServerThatEvictsIsReported(t *testing.T) {
	s := startServer(t, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
	store := open(t, s.option(), nil)
	if got := store.Stats().Eviction; got != "allkeys-lru" {
		t.Errorf("Stats().Eviction = %q", got)
	}
	sound := startServer(t, "--maxmemory", "50mb", "--maxmemory-policy", "noeviction")
	if got := open(t, sound.option(), nil).Stats().Eviction; got != "" {
		t.Errorf("with noeviction, Stats().Eviction = %q", got)
	}
}
