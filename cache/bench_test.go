package cache_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/testcost"
	bolt "go.etcd.io/bbolt"
)

// The floor of a store is what one would write with bbolt as it is: one bucket, the default
// options, and under each domain the value that the client hands to its store.
// `benchstat -col /impl` compares.

var million = flag.Bool("bench.million", false, "store a million domains too")

func benchSizes() []int {
	if *million {
		return []int{100_000, 1_000_000}
	}
	return []int{100_000}
}

var benchTime = time.Now()

// random is a number that looks random and is the same for the same i.
func random(i int) uint64 {
	x := uint64(i) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// benchKey is the name of domain i, of about 20 octets.
func benchKey(i int) string {
	b := make([]byte, 12, 24)
	for x, j := random(i), 0; j < len(b); j++ {
		b[j] = 'a' + byte(x%26)
		x /= 26
	}
	return string(append(b, [...]string{".com", ".example", ".org.example", ".net"}[i%4]...))
}

// benchChanges are the policies of some domains, with three mx patterns each, in the layout
// in which the client stores them.
func benchChanges(from, to int) []cache.Change {
	var changes []cache.Change
	for i := from; i < to; i++ {
		r := random(-1 - i)
		fetched := benchTime.Add(-time.Duration(r>>1) % (24 * time.Hour))
		v := append(make([]byte, 0, 256), 2)
		v = binary.BigEndian.AppendUint32(v, uint32(r)) // in place of a checksum
		v = binary.BigEndian.AppendUint64(v, uint64(fetched.UnixNano()))
		v = append(v, 0, 0, 14)
		v = append(v, fetched.Format("20060102150405")...) // the id
		v = fmt.Appendf(v, "version: STSv1\r\nmode: enforce\r\nmx: mx1.provider%02[1]d.example\r\nmx: mx2.provider%02[1]d.example\r\nmx: mx3.provider%02[1]d.example\r\nmax_age: 604800\r\n", r>>8%100)
		changes = append(changes, cache.Change{Key: benchKey(i), Value: v, Fetched: fetched, Expires: fetched.Add(604800 * time.Second)})
	}
	return changes
}

type benchDB interface {
	store
	Close() error
}

// floor is bbolt without anything around it.
type floor struct{ *bolt.DB }

var floorBucket = []byte("entries")

func floorPut(tx *bolt.Tx, c *cache.Change) error {
	entries, err := tx.CreateBucketIfNotExists(floorBucket)
	if err != nil {
		return err
	}
	return entries.Put([]byte(c.Key), c.Value)
}

func (f floor) Write(_ context.Context, changes []cache.Change) error {
	return f.Update(func(tx *bolt.Tx) error {
		for i := range changes {
			if err := floorPut(tx, &changes[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f floor) Get(_ context.Context, key string) (value []byte, ok bool, err error) {
	err = f.View(func(tx *bolt.Tx) error {
		value = bytes.Clone(tx.Bucket(floorBucket).Get([]byte(key)))
		return nil
	})
	return value, value != nil, err
}

func (f floor) Scan(_ context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	err = f.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(floorBucket).Cursor()
		for k, v := c.Seek([]byte(after)); k != nil && len(keys) < limit; k, v = c.Next() {
			if string(k) != after {
				keys, values = append(keys, string(k)), append(values, bytes.Clone(v))
			}
		}
		return nil
	})
	return keys, values, err
}

// eachImpl runs a benchmark on both.
func eachImpl(b *testing.B, run func(b *testing.B, open func(path string) benchDB)) {
	b.Run("impl=ours", func(b *testing.B) {
		run(b, func(path string) benchDB {
			s, err := cache.OpenBolt(path)
			if err != nil {
				b.Fatal(err)
			}
			return s
		})
	})
	b.Run("impl=floor", func(b *testing.B) {
		run(b, func(path string) benchDB {
			db, err := bolt.Open(path, 0o600, nil)
			if err != nil {
				b.Fatal(err)
			}
			return floor{db}
		})
	})
}

// fill puts n domains into db, in the order of their keys so that it takes seconds.
func fill(b *testing.B, db benchDB, n int) {
	b.Helper()
	changes := benchChanges(0, n)
	slices.SortFunc(changes, func(a, b cache.Change) int { return cmp.Compare(a.Key, b.Key) })
	for some := range slices.Chunk(changes, 20_000) {
		if err := db.Write(context.Background(), some); err != nil {
			b.Fatal(err)
		}
	}
	changes = nil
	runtime.GC() // of what this has left, and not while something is measured
}

// BenchmarkStoreWrite stores policies durably, each a domain that is not there yet. The
// floor of many changes at once is bbolt's Batch, which is called for each of them.
func BenchmarkStoreWrite(b *testing.B) {
	const there = 100_000
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint("changes=", n), func(b *testing.B) {
			eachImpl(b, func(b *testing.B, open func(string) benchDB) {
				db := open(filepath.Join(b.TempDir(), "store.db"))
				defer db.Close()
				fill(b, db, there)
				b.ReportAllocs()
				for i := there; b.Loop(); i += n {
					changes := benchChanges(i, i+n)
					if f, ok := db.(floor); ok && n > 1 {
						var wg sync.WaitGroup
						for i := range changes {
							wg.Go(func() {
								if err := f.Batch(func(tx *bolt.Tx) error { return floorPut(tx, &changes[i]) }); err != nil {
									b.Error(err)
								}
							})
						}
						wg.Wait()
					} else if err := db.Write(b.Context(), changes); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkStoreGet looks domains up at random, some that are there and some that are not.
func BenchmarkStoreGet(b *testing.B) {
	for _, there := range []bool{true, false} {
		for _, n := range benchSizes() {
			b.Run(fmt.Sprintf("there=%v/domains=%d", there, n), func(b *testing.B) {
				eachImpl(b, func(b *testing.B, open func(string) benchDB) {
					db := open(filepath.Join(b.TempDir(), "store.db"))
					defer db.Close()
					fill(b, db, n)
					keys := make([]string, 1<<16)
					for i := range keys {
						keys[i] = benchKey(int(random(i) % uint64(n)))
						if !there {
							keys[i] = benchKey(n + i)
						}
					}
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						if _, ok, err := db.Get(b.Context(), keys[i%len(keys)]); ok != there || err != nil {
							b.Fatal(ok, err)
						}
					}
				})
			})
		}
	}
}

// BenchmarkStoreScan walks through the whole store, a thousand entries at a time.
func BenchmarkStoreScan(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprint("domains=", n), func(b *testing.B) {
			eachImpl(b, func(b *testing.B, open func(string) benchDB) {
				db := open(filepath.Join(b.TempDir(), "store.db"))
				defer db.Close()
				fill(b, db, n)
				b.ReportAllocs()
				for b.Loop() {
					found := 0
					for after, more := "", true; more; {
						keys, _, err := db.Scan(b.Context(), after, 1000)
						if err != nil {
							b.Fatal(err)
						}
						found += len(keys)
						if more = len(keys) == 1000; more {
							after = keys[999]
						}
					}
					if found != n {
						b.Fatal(found)
					}
				}
			})
		})
	}
}

// BenchmarkStoreOpen opens a file that has been in use, and looks one domain up. It reports
// the octets of the file for each domain, too.
func BenchmarkStoreOpen(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprint("domains=", n), func(b *testing.B) {
			eachImpl(b, func(b *testing.B, open func(string) benchDB) {
				path := filepath.Join(b.TempDir(), "store.db")
				db := open(path)
				for i := 0; i < n; i += n / 100 { // in no order, as senders do
					if err := db.Write(b.Context(), benchChanges(i, i+n/100)); err != nil {
						b.Fatal(err)
					}
				}
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				for i := 0; b.Loop(); i++ {
					db := open(path)
					if _, ok, err := db.Get(b.Context(), benchKey(i%n)); !ok || err != nil {
						b.Fatal(ok, err)
					}
					if err := db.Close(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(usedOctets(b, path))/float64(n), "octets/domain")
			})
		})
	}
}

// usedOctets is how much of the file at path has ever been in use. The file itself grows by
// more than is needed at once.
func usedOctets(b *testing.B, path string) (size int64) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.View(func(tx *bolt.Tx) error {
		size = tx.Size()
		return nil
	})
	return size
}

// BenchmarkLRUGet asks on all cores for what is there. The floor is a map that readers share
// a lock for; it keeps no order, and so cannot evict.
func BenchmarkLRUGet(b *testing.B) {
	for _, n := range []int{1, 10_000, 100_000} {
		b.Run(fmt.Sprint("keys=", n), func(b *testing.B) {
			// Copies of the keys, in no order: to compare a string with itself costs nothing.
			keys, asked := make([]string, n), make([]string, n)
			for i, at := range rand.New(rand.NewPCG(8461, uint64(n))).Perm(n) {
				keys[at] = fmt.Sprintf("customer%d.example.com", at)
				asked[i] = strings.Clone(keys[at])
			}
			b.Run("impl=ours", func(b *testing.B) {
				l := cache.NewLRU[*int](2 * n)
				for _, k := range keys {
					l.Add(k, new(int), 1)
				}
				testcost.OnAllCores(b, asked, func(k string) bool { _, ok := l.Get(k); return ok })
			})
			b.Run("impl=floor", func(b *testing.B) {
				var mu sync.RWMutex
				m := make(map[string]*int)
				for _, k := range keys {
					m[k] = new(int)
				}
				testcost.OnAllCores(b, asked, func(k string) bool {
					mu.RLock()
					v := m[k]
					mu.RUnlock()
					return v != nil
				})
			})
		})
	}
}

// BenchmarkLRUAdd adds new keys to what is full, so that each takes the place of another.
// The floor is a map that forgets at random.
func BenchmarkLRUAdd(b *testing.B) {
	const size = 10_000
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("customer%d.example.com", i)
	}
	b.Run("impl=ours", func(b *testing.B) {
		l := cache.NewLRU[*int](size)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			l.Add(keys[i%len(keys)], nil, 1)
		}
	})
	b.Run("impl=floor", func(b *testing.B) {
		var mu sync.RWMutex
		m := make(map[string]*int)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			mu.Lock()
			m[keys[i%len(keys)]] = nil
			if len(m) > size {
				for k := range m {
					delete(m, k)
					break
				}
			}
			mu.Unlock()
		}
	})
}
