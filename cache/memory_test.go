package cache_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

func TestMemoryDropsWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(cache.Memory)
		testDropsExpired(t, 500, m.Put, m.Scan)
	})
}

// testDropsExpired plays 30 days in which 100 new domains are learnt each day,
// each to be remembered for a day, and three that are remembered for longer. The store
// never holds more than most.
func testDropsExpired(t *testing.T, most int,
	put func(ctx context.Context, key string, value []byte, fetched, expires time.Time) error,
	scan func(ctx context.Context, after string, limit int) ([]string, [][]byte, error),
) {
	ctx := context.Background()
	stay := []string{"000.first", "5000.middle", "zzz.last"}
	for _, key := range stay {
		if err := put(ctx, key, []byte("stays"), time.Now(), time.Now().Add(30*24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for day := range 30 {
		var learnt []string
		for i := range 100 {
			learnt = append(learnt, fmt.Sprintf("%04d.of.day%02d", (i*7919+day*104729)%10000, day))
		}
		done := atOnce(learnt, func(key string) error {
			return put(ctx, key, make([]byte, 300), time.Now(), time.Now().Add(24*time.Hour))
		})
		if len(done) != len(learnt) {
			t.Fatalf("day %d: %d of %d entries were stored", day, len(done), len(learnt))
		}
		time.Sleep(24*time.Hour - 1)
		keys, _, err := scan(ctx, "", 10_000)
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) > most {
			t.Fatalf("day %d: %d entries, of which 103 have not expired", day, len(keys))
		}
		alive := 0
		for _, key := range keys {
			if key[4:] == fmt.Sprintf(".of.day%02d", day) {
				alive++
			}
		}
		if alive != 100 {
			t.Fatalf("day %d: %d of 100 entries are left that have not expired", day, alive)
		}
		time.Sleep(time.Nanosecond)
	}
	keys, _, err := scan(ctx, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, key := range keys {
		left[key] = true
	}
	for _, key := range stay {
		if !left[key] {
			t.Errorf("%q was dropped before it expired", key)
		}
	}
}

// A mistake of the caller is an error at once, of either store.
func TestStoresRefuseWhatTheyMustNotHold(t *testing.T) {
	ctx := context.Background()
	now := time.Now()
	type store interface {
		Get(ctx context.Context, key string) ([]byte, bool, error)
		Put(ctx context.Context, key string, value []byte, fetched, expires time.Time) error
		Delete(ctx context.Context, key string, fetched time.Time) error
	}
	for name, s := range map[string]store{
		"Memory": new(cache.Memory),
		"Bolt":   openBolt(t, t.TempDir()+"/store.db"),
	} {
		for _, key := range []string{"", "Example.com", "a b", "a/b", "\x00", "\xff", "bücher.example", string(make([]byte, 254)), fmt.Sprintf("%0254d", 0)} {
			_, ok, err := s.Get(ctx, key)
			if ok || err == nil {
				t.Errorf("%s: Get(%q) = %v, %v; want an error", name, key, ok, err)
			}
			if err := s.Put(ctx, key, nil, now, now.Add(time.Hour)); err == nil {
				t.Errorf("%s: Put(%q): no error", name, key)
			}
			if err := s.Delete(ctx, key, now); err == nil {
				t.Errorf("%s: Delete(%q): no error", name, key)
			}
		}
		if err := s.Put(ctx, "example.com", make([]byte, 70<<10+1), now, now.Add(time.Hour)); err == nil {
			t.Errorf("%s: Put of a value of 70 KiB and one octet: no error", name)
		}
		if _, ok, err := s.Get(ctx, "example.com"); ok || err != nil {
			t.Errorf("%s: Get = %v, %v", name, ok, err)
		}
	}
}
