package cache_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	bolt "go.etcd.io/bbolt"
)

// Each benchmark has its floor beside it: the least that the same work can cost,
// written by hand, without what the package adds to it.

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("mail%d.example.com", i)
	}
	return keys
}

// Values of 300 octets: an ordinary policy and what is known about it.
var benchValue = make([]byte, 300)

func BenchmarkBoltPut(b *testing.B) {
	ctx := context.Background()
	now := time.Now()
	for _, writers := range []int{1, 100} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openBolt(b, filepath.Join(b.TempDir(), "store.db"))
			benchPut(b, writers, func(key string) error {
				return s.Put(ctx, key, benchValue, now, now.Add(time.Hour))
			})
		})
	}
	floor := func(put func(db *bolt.DB, fn func(*bolt.Tx) error) error) func(b *testing.B) {
		return func(b *testing.B) {
			db := plainBolt(b, nil)
			benchPut(b, map[bool]int{true: 1, false: 100}[b.Name() == "BenchmarkBoltPut/writers=1/floor"], func(key string) error {
				return put(db, func(tx *bolt.Tx) error {
					return tx.Bucket([]byte("b")).Put([]byte(key), benchValue)
				})
			})
		}
	}
	b.Run("writers=1/floor", floor((*bolt.DB).Update))
	b.Run("writers=100/floor", floor((*bolt.DB).Batch))
}

func benchPut(b *testing.B, writers int, put func(key string) error) {
	b.ReportAllocs()
	keys := benchKeys(100_000)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range writers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := put(keys[i*7919%int64(len(keys))]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkBoltGet(b *testing.B) {
	ctx := context.Background()
	now := time.Now()
	keys := benchKeys(100_000)
	s := openBolt(b, filepath.Join(b.TempDir(), "store.db"))
	var wg sync.WaitGroup
	for w := range 500 {
		wg.Go(func() {
			for i := w; i < len(keys); i += 500 {
				if err := s.Put(ctx, keys[i], benchValue, now, now.Add(time.Hour)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.Run("there", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, ok, err := s.Get(ctx, keys[i*7919%len(keys)]); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
	b.Run("not there", func(b *testing.B) {
		missing := make([]string, len(keys))
		for i := range missing {
			missing[i] = keys[i] + ".missing"
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, ok, err := s.Get(ctx, missing[i*7919%len(keys)]); ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		db := plainBolt(b, keys)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			var value []byte
			err := db.View(func(tx *bolt.Tx) error {
				value = append([]byte(nil), tx.Bucket([]byte("b")).Get([]byte(keys[i*7919%len(keys)]))...)
				return nil
			})
			if err != nil || len(value) != len(benchValue) {
				b.Fatal(err)
			}
		}
	})
}

// plainBolt returns a bbolt file with a bucket "b" that holds keys.
func plainBolt(b *testing.B, keys []string) *bolt.DB {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "plain.db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	for first := true; first || len(keys) > 0; first = false {
		n := min(500, len(keys))
		err := db.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("b"))
			for _, k := range keys[:n] {
				if err == nil {
					err = bucket.Put([]byte(k), benchValue)
				}
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		keys = keys[n:]
	}
	return db
}

// BenchmarkOpenBolt opens a store of 100,000 entries and looks one up.
func BenchmarkOpenBolt(b *testing.B) {
	path := filepath.Join(b.TempDir(), "store.db")
	keys := benchKeys(100_000)
	now := time.Now()
	s := openBolt(b, path)
	var wg sync.WaitGroup
	for w := range 500 {
		wg.Go(func() {
			for i := w; i < len(keys); i += 500 {
				if err := s.Put(context.Background(), keys[i], benchValue, now, now.Add(time.Hour)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/float64(len(keys)), "octets/entry")
	b.ReportAllocs()
	for b.Loop() {
		s, err := cache.OpenBolt(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok, err := s.Get(context.Background(), keys[5]); !ok || err != nil {
			b.Fatal(ok, err)
		}
		s.Close()
	}
}

func openBolt(tb testing.TB, path string) *cache.Bolt {
	tb.Helper()
	s, err := cache.OpenBolt(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
