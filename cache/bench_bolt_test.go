package cache_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	bolt "go.etcd.io/bbolt"
)

// The peer is what one would write with bbolt as it is: one bucket, the default
// options, and under each domain the value that the client hands to its store.

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

// benchEntry is the policy of domain i in the layout in which the client stores it.
// It has three mx patterns; nine domains of ten have one of 100 texts.
func benchEntry(i int) cache.BenchEntry {
	key, r := benchKey(i), random(-1-i)
	host := fmt.Sprintf("provider%02d.example", r>>8%100)
	if r%10 == 0 {
		host = key
	}
	fetched := benchTime.Add(-time.Duration(r>>1) % (24 * time.Hour))

	v := append(make([]byte, 0, 256), 2)
	v = binary.BigEndian.AppendUint32(v, uint32(r)) // in place of a checksum
	v = binary.BigEndian.AppendUint64(v, uint64(fetched.UnixNano()))
	v = binary.AppendVarint(v, 0)
	v = binary.AppendVarint(v, 0)
	v = append(v, 14)
	v = append(v, fetched.Format("20060102150405")...) // the id
	text := len(v)
	v = fmt.Appendf(v, "version: STSv1\r\nmode: enforce\r\nmx: mx1.%[1]s\r\nmx: mx2.%[1]s\r\nmx: mx3.%[1]s\r\nmax_age: 604800\r\n", host)
	return cache.BenchEntry{Key: key, Value: v, Shared: text, Fetched: fetched, Expires: fetched.Add(604800 * time.Second)}
}

func benchEntries(from, to int) []cache.BenchEntry {
	entries := make([]cache.BenchEntry, 0, to-from)
	for i := from; i < to; i++ {
		entries = append(entries, benchEntry(i))
	}
	return entries
}

// A benchStore is what the two sides have in common.
type benchStore struct {
	name string
	open func(tb testing.TB, path string) benchDB
}

type benchDB interface {
	put(e *cache.BenchEntry) error
	putMany(e *cache.BenchEntry) error // one of many at the same time
	putAll(entries []cache.BenchEntry) error
	get(key string) ([]byte, error)
	Close() error
}

var benchStores = []benchStore{
	{"ours", func(tb testing.TB, path string) benchDB {
		s, err := cache.OpenBolt(path)
		if err != nil {
			tb.Fatal(err)
		}
		return ours{s}
	}},
	{"peer", func(tb testing.TB, path string) benchDB {
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			tb.Fatal(err)
		}
		return peer{db}
	}},
}

type ours struct{ *cache.Bolt }

func (s ours) put(e *cache.BenchEntry) error {
	return s.PutShared(context.Background(), e.Key, e.Value, e.Shared, e.Fetched, e.Expires)
}

func (s ours) putMany(e *cache.BenchEntry) error { return s.put(e) }

func (s ours) putAll(entries []cache.BenchEntry) error { return s.PutAll(entries) }

func (s ours) get(key string) ([]byte, error) {
	value, _, err := s.Get(context.Background(), key)
	return value, err
}

type peer struct{ *bolt.DB }

var peerBucket = []byte("entries")

func (p peer) put(e *cache.BenchEntry) error {
	return p.Update(func(tx *bolt.Tx) error { return peerPut(tx, e) })
}

func (p peer) putMany(e *cache.BenchEntry) error {
	return p.Batch(func(tx *bolt.Tx) error { return peerPut(tx, e) })
}

func (p peer) putAll(entries []cache.BenchEntry) error {
	return p.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(peerBucket); err != nil {
			return err
		}
		for i := range entries {
			if err := peerPut(tx, &entries[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p peer) get(key string) (value []byte, err error) {
	err = p.View(func(tx *bolt.Tx) error {
		value = bytes.Clone(tx.Bucket(peerBucket).Get([]byte(key)))
		return nil
	})
	return value, err
}

func peerPut(tx *bolt.Tx, e *cache.BenchEntry) error {
	return tx.Bucket(peerBucket).Put([]byte(e.Key), e.Value)
}

// fill puts n entries into db, in the order of their keys so that it takes seconds.
func fill(tb testing.TB, db benchDB, n int) {
	entries := benchEntries(0, n)
	slices.SortFunc(entries, func(a, b cache.BenchEntry) int { return cmp.Compare(a.Key, b.Key) })
	for some := range slices.Chunk(entries, 20_000) {
		if err := db.putAll(some); err != nil {
			tb.Fatal(err)
		}
	}
	runtime.GC() // of what this has left, and not while something is measured
}

// fillAtRandom puts n entries into db in no order, 100 at a time, as senders do.
func fillAtRandom(tb testing.TB, db benchDB, n int) {
	for i := 0; i < n; i += 100 {
		if err := db.putAll(benchEntries(i, i+100)); err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkBoltPut stores policies durably, each a domain that is not there yet.
func BenchmarkBoltPut(b *testing.B) {
	const there = 10_000
	for _, writers := range []int{1, 100} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			for _, s := range benchStores {
				b.Run(s.name, func(b *testing.B) {
					db := s.open(b, filepath.Join(b.TempDir(), "store.db"))
					defer db.Close()
					fill(b, db, there)
					put := db.put
					if writers > 1 {
						put = db.putMany
					}
					entries := benchEntries(there, there+b.N)
					var next atomic.Int64
					var wg sync.WaitGroup
					b.ReportAllocs()
					b.ResetTimer()
					for range writers {
						wg.Go(func() {
							for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
								if err := put(&entries[i-1]); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
				})
			}
		})
	}
}

var benchSizes = []struct {
	name string
	n    int
}{{"10k", 10_000}, {"100k", 100_000}, {"1M", 1_000_000}}

// BenchmarkBoltOpen opens a file and looks one domain up.
func BenchmarkBoltOpen(b *testing.B) {
	for _, size := range benchSizes[1:] {
		b.Run(size.name, func(b *testing.B) {
			for _, s := range benchStores {
				b.Run(s.name, func(b *testing.B) {
					path := filepath.Join(b.TempDir(), "store.db")
					db := s.open(b, path)
					fill(b, db, size.n)
					// So that there is a list of free pages as a file in use has it.
					for i := 0; i < 2000; i += 100 {
						if err := db.putAll(benchEntries(size.n+i, size.n+i+100)); err != nil {
							b.Fatal(err)
						}
					}
					if err := db.Close(); err != nil {
						b.Fatal(err)
					}
					runtime.GC()
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						db := s.open(b, path)
						if value, err := db.get(benchKey(i % size.n)); len(value) == 0 || err != nil {
							b.Fatal(len(value), err)
						}
						if err := db.Close(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// BenchmarkBoltGet looks domains up at random.
func BenchmarkBoltGet(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			for _, s := range benchStores {
				b.Run(s.name, func(b *testing.B) {
					db := s.open(b, filepath.Join(b.TempDir(), "store.db"))
					defer db.Close()
					fill(b, db, size.n)
					keys := benchKeys(size.n)
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						key := keys[i%len(keys)]
						if value, err := db.get(key); len(value) == 0 || err != nil {
							b.Fatal(key, len(value), err)
						}
					}
				})
			}
		})
	}
}

// benchKeys are some of the first n domains, in no order.
func benchKeys(n int) []string {
	keys := make([]string, min(n, 1<<16))
	for i := range keys {
		keys[i] = benchKey(int(random(i) % uint64(n)))
	}
	return keys
}

// BenchmarkGrowth tells how much more a look-up costs among 1M domains than among 10k,
// and how that compares with the peer. An operation is 10,000 look-ups on each side at
// each size, all within a tenth of a second; of these, it is the median that is told.
func BenchmarkGrowth(b *testing.B) {
	sizes := [2]int{10_000, 1_000_000}
	var dbs [2][2]benchDB
	var growths [2][]float64
	var ratios []float64
	for i, s := range benchStores {
		for j, n := range sizes {
			dbs[i][j] = s.open(b, filepath.Join(b.TempDir(), "store.db"))
			defer dbs[i][j].Close()
			fill(b, dbs[i][j], n)
		}
	}
	keys := [2][]string{benchKeys(sizes[0]), benchKeys(sizes[1])}
	for round := 0; b.Loop(); round++ {
		for i := range dbs {
			var took [2]time.Duration
			for j, db := range dbs[i] {
				start := time.Now()
				for k := range 10_000 {
					if value, err := db.get(keys[j][(round*10_000+k)%len(keys[j])]); len(value) == 0 || err != nil {
						b.Fatal(len(value), err)
					}
				}
				took[j] = time.Since(start)
			}
			growths[i] = append(growths[i], float64(took[1])/float64(took[0]))
		}
		ratios = append(ratios, growths[0][round]/growths[1][round])
	}
	median := func(of []float64) float64 {
		slices.Sort(of)
		return of[len(of)/2]
	}
	b.ReportMetric(median(growths[0]), "growth")
	b.ReportMetric(median(growths[1]), "peer-growth")
	b.ReportMetric(median(ratios), "growth-ratio")
}

// BenchmarkBoltMissing looks up domains that are not there.
func BenchmarkBoltMissing(b *testing.B) {
	const n = 100_000
	for _, s := range benchStores {
		b.Run(s.name, func(b *testing.B) {
			db := s.open(b, filepath.Join(b.TempDir(), "store.db"))
			defer db.Close()
			fill(b, db, n)
			keys := make([]string, 1<<16)
			for i := range keys {
				keys[i] = benchKey(n + i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if value, err := db.get(keys[i%len(keys)]); value != nil || err != nil {
					b.Fatal(value, err)
				}
			}
		})
	}
}

// BenchmarkBoltDisk tells what 100,000 domains take on the disk.
func BenchmarkBoltDisk(b *testing.B) {
	const n = 100_000
	var used [2]float64
	for b.Loop() {
		for i, s := range benchStores {
			path := filepath.Join(b.TempDir(), "store.db")
			db := s.open(b, path)
			fillAtRandom(b, db, n)
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
			used[i] = float64(usedOctets(b, path)) / n
		}
	}
	b.ReportMetric(used[0], "octets/domain")
	b.ReportMetric(used[1], "peer-octets/domain")
	b.ReportMetric(used[0]/used[1], "disk-ratio")
}

// usedOctets is how much of the file at path has ever been in use. The file itself
// is larger: bbolt lets it grow by half or by 16 MiB at once, and what is behind the
// last page takes no room on the disk yet.
func usedOctets(tb testing.TB, path string) (size int64) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error {
		size = tx.Size()
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	return size
}
