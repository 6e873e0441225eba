package cache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	bolt "go.etcd.io/bbolt"
)

// The floor of a store is bbolt with its default options, one bucket, and under each domain
// the value that a client hands to its store.

var benchTime = time.Now()

// random returns the i-th of a fixed sequence of numbers that look random.
func random(i int) uint64 {
	x := uint64(i) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// benchKey returns domain i, of about 20 octets.
func benchKey(i int) string {
	b := make([]byte, 12, 24)
	for x, j := random(i), 0; j < len(b); j++ {
		b[j] = 'a' + byte(x%26)
		x /= 26
	}
	return string(append(b, [...]string{".com", ".example", ".org.example", ".net"}[i%4]...))
}

// benchChanges returns the policies of some domains, with three mx patterns each, in the form
// in which a client stores them.
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

// floor is bbolt as a store.
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

// A benchFile is a store with a number of domains.
type benchFile struct {
	benchDB
	impl string
	path string
	open func(path string) (benchDB, error)
}

// benchFiles returns a store of n domains for each impl. They are written in no order and in
// 100 transactions, to come near a file that grows over time.
func benchFiles(b *testing.B, n int) []*benchFile {
	dir := b.TempDir()
	files := []*benchFile{
		{impl: "impl=ours", path: filepath.Join(dir, "ours.db"), open: func(path string) (benchDB, error) {
			return cache.OpenBolt(path)
		}},
		{impl: "impl=floor", path: filepath.Join(dir, "floor.db"), open: func(path string) (benchDB, error) {
			db, err := bolt.Open(path, 0o600, nil)
			return floor{db}, err
		}},
	}
	for _, f := range files {
		f.reopen(b)
		b.Cleanup(func() { f.Close() })
		for i := range 100 {
			if err := f.Write(context.Background(), benchChanges(i*n/100, (i+1)*n/100)); err != nil {
				b.Fatal(err)
			}
		}
	}
	runtime.GC() // now, and not while something is measured
	return files
}

func (f *benchFile) reopen(b *testing.B) {
	db, err := f.open(f.path)
	if err != nil {
		b.Fatal(err)
	}
	f.benchDB = db
}

// BenchmarkStoreWrite stores policies, each of a new domain, durably. The floor of many at
// once is bbolt's Batch, called for each of them on a goroutine of its own.
func BenchmarkStoreWrite(b *testing.B) {
	const there = 100_000
	files := benchFiles(b, there)
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint("changes=", n), func(b *testing.B) {
			for _, f := range files {
				b.Run(f.impl, func(b *testing.B) {
					write := f.Write
					if f, ok := f.benchDB.(floor); ok && n > 1 {
						write = f.batch
					}
					next := there * (1 + n) // of new domains
					for ; b.Loop(); next += n {
						if err := write(b.Context(), benchChanges(next, next+n)); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

func (f floor) batch(_ context.Context, changes []cache.Change) error {
	errs := make([]error, len(changes))
	var wg sync.WaitGroup
	for i := range changes {
		wg.Go(func() {
			errs[i] = f.Batch(func(tx *bolt.Tx) error { return floorPut(tx, &changes[i]) })
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

var storeDomains = flag.Int("bench.domains", 100_000, "how many domains BenchmarkStore stores")

// BenchmarkStore measures a store of many domains: a look-up of one that is there and of one
// that is not, a scan of all, the opening of the file with one look-up, and the size of the
// file. 10 million domains need 8 GB of disk and many minutes:
//
//	go test ./cache -run '^$' -bench 'Store$' -bench.domains 10000000 -benchtime 100x -timeout 2h
func BenchmarkStore(b *testing.B) {
	n := *storeDomains
	b.Run(fmt.Sprint("domains=", n), func(b *testing.B) {
		files := benchFiles(b, n)
		for _, f := range files {
			f.scan(b, n) // maps all pages, or the first that is measured would pay for it
		}
		for _, op := range []struct {
			name string
			run  func(b *testing.B, f *benchFile, n int)
		}{
			{"op=get", benchGet},
			{"op=miss", benchMiss},
			{"op=scan", benchScan},
			{"op=open", benchOpen},
		} {
			for _, f := range files {
				b.Run(op.name+"/"+f.impl, func(b *testing.B) { op.run(b, f, n) })
			}
		}
	})
}

// benchGet reports the 50th and the 99th percentile of single look-ups, too.
func benchGet(b *testing.B, f *benchFile, n int) {
	get := func(i int) {
		if _, ok, err := f.Get(b.Context(), benchKey(int(random(i)%uint64(n)))); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
	i := 0
	for ; b.Loop(); i++ {
		get(i)
	}
	took := make([]float64, 10_000)
	for j := range took {
		start := time.Now()
		get(i + j)
		took[j] = float64(time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "p50-ns")
	b.ReportMetric(took[len(took)*99/100], "p99-ns")
}

func benchMiss(b *testing.B, f *benchFile, n int) {
	for i := n; b.Loop(); i++ {
		if _, ok, err := f.Get(b.Context(), benchKey(i)); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func benchScan(b *testing.B, f *benchFile, n int) {
	for b.Loop() {
		f.scan(b, n)
	}
}

// scan reads all n entries, a thousand at a time.
func (f *benchFile) scan(b *testing.B, n int) {
	found := 0
	for after, more := "", true; more; {
		keys, _, err := f.Scan(b.Context(), after, 1000)
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

// benchOpen opens the file, looks one domain up, and closes it.
func benchOpen(b *testing.B, f *benchFile, n int) {
	f.Close()
	for i := 0; b.Loop(); i++ {
		f.reopen(b)
		if _, ok, err := f.Get(b.Context(), benchKey(i%n)); !ok || err != nil {
			b.Fatal(ok, err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(usedOctets(b, f.path))/float64(n), "octets/domain")
}

// usedOctets returns how much of the file at path has been in use so far. The file grows by
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
