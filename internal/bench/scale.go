package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	bolt "go.etcd.io/bbolt"
)

const (
	scaleWriters = 20_000 // for each commit while the files are made
	scaleGets    = 20_000
	scaleScan    = 500
)

// scale makes a store of n domains, and a plain bbolt file with the same values, and
// writes to w what they cost. It takes about 600 octets of disk for each domain.
//
// The domains come in the order of their names, so that the files are made in minutes:
// their pages are then half full, in both.
func scale(w io.Writer, n int) error {
	dir, err := os.MkdirTemp("", "scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "%d domains\tto make\tfile\tto open\tget p50\tp99\tnot in memory p50\tp99\tanonymous\tof the file\tscan\tlongest batch\t\n", n)
	for _, s := range []struct {
		name string
		open func(path string) (scaleStore, error)
	}{
		{"ours", func(path string) (scaleStore, error) {
			b, err := cache.OpenBolt(path)
			return scaleOurs{b}, err
		}},
		{"bbolt", func(path string) (scaleStore, error) {
			db, err := bolt.Open(path, 0o600, nil)
			return scalePeer{db}, err
		}},
	} {
		path := filepath.Join(dir, s.name)
		fmt.Fprintf(out, "%s\t", s.name)
		if err := scaleRow(out, path, n, s.open); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintln(out)
		os.Remove(path)
	}
	return out.Flush()
}

func scaleRow(out io.Writer, path string, n int, open func(path string) (scaleStore, error)) error {
	s, err := open(path)
	if err != nil {
		return err
	}
	start := time.Now()
	for i := 0; i < n && err == nil; i += scaleWriters {
		err = s.putAll(i, min(i+scaleWriters, n))
	}
	if err := cmp.Or(err, s.Close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "%.0f s\t", time.Since(start).Seconds())
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%.0f MiB\t", float64(info.Size())/(1<<20))

	before := anonymous()
	start = time.Now()
	if s, err = open(path); err != nil {
		return err
	}
	defer func() { s.Close() }()
	if err := s.get(scaleKey(n / 2)); err != nil {
		return err
	}
	fmt.Fprintf(out, "%.2f ms\t", time.Since(start).Seconds()*1e3)

	if err := scaleGet(out, s, n, scaleGets); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	dropCaches(path)
	if s, err = open(path); err != nil {
		return err
	}
	if err := scaleGet(out, s, n, scaleGets/20); err != nil {
		return err
	}
	fmt.Fprintf(out, "%.1f MiB\t%.1f MiB\t", float64(anonymous()-before)/1024, float64(status("RssFile"))/1024)

	start = time.Now()
	longest, found, err := time.Duration(0), 0, error(nil)
	for after := ""; ; {
		start := time.Now()
		last, count, scanErr := s.scan(after, scaleScan)
		longest = max(longest, time.Since(start))
		found += count
		if err = scanErr; err != nil || count < scaleScan {
			break
		}
		after = last
	}
	if err == nil && found != n {
		err = fmt.Errorf("a scan found %d of %d domains", found, n)
	}
	fmt.Fprintf(out, "%.1f s\t%.2f ms\t", time.Since(start).Seconds(), longest.Seconds()*1e3)
	return err
}

// scaleGet looks domains up at random.
func scaleGet(out io.Writer, s scaleStore, n, gets int) error {
	took := make([]time.Duration, gets)
	for i := range took {
		key := scaleKey(rand.IntN(n))
		start := time.Now()
		if err := s.get(key); err != nil {
			return err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	fmt.Fprintf(out, "%v\t%v\t", took[gets/2].Round(100*time.Nanosecond), took[gets*99/100].Round(100*time.Nanosecond))
	return nil
}

// A scaleStore is one of the two.
type scaleStore interface {
	putAll(from, to int) error
	get(key string) error
	scan(after string, limit int) (last string, n int, err error)
	Close() error
}

type scaleOurs struct{ *cache.Bolt }

func (s scaleOurs) putAll(from, to int) error {
	errs := make([]error, to-from)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			value, text := scaleValue(from + i)
			now := time.Now()
			errs[i] = s.PutShared(context.Background(), scaleKey(from+i), value, text, now, now.Add(30*24*time.Hour))
		})
	}
	all.Wait()
	return cmp.Or(errs...)
}

func (s scaleOurs) get(key string) error {
	value, ok, err := s.Get(context.Background(), key)
	return missing(key, ok && len(value) > 0, err)
}

func (s scaleOurs) scan(after string, limit int) (last string, n int, err error) {
	keys, _, err := s.Scan(context.Background(), after, limit)
	if len(keys) > 0 {
		last = keys[len(keys)-1]
	}
	return last, len(keys), err
}

type scalePeer struct{ *bolt.DB }

var scaleBucket = []byte("entries")

func (s scalePeer) putAll(from, to int) error {
	return s.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(scaleBucket)
		for i := from; i < to && err == nil; i++ {
			value, _ := scaleValue(i)
			err = b.Put([]byte(scaleKey(i)), value)
		}
		return err
	})
}

func (s scalePeer) get(key string) error {
	var value []byte
	err := s.View(func(tx *bolt.Tx) error {
		value = bytes.Clone(tx.Bucket(scaleBucket).Get([]byte(key)))
		return nil
	})
	return missing(key, len(value) > 0, err)
}

func (s scalePeer) scan(after string, limit int) (last string, n int, err error) {
	err = s.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(scaleBucket).Cursor()
		k, v := c.Seek([]byte(after + "\x00"))
		var keys []string
		var values [][]byte
		for ; k != nil && len(keys) < limit; k, v = c.Next() {
			keys, values = append(keys, string(k)), append(values, bytes.Clone(v))
		}
		if n = len(values); n > 0 {
			last = keys[n-1]
		}
		return nil
	})
	return last, n, err
}

// scaleKey is the name of domain i; the names are in the order of the numbers.
func scaleKey(i int) string { return fmt.Sprintf("%08d.domain.example", i) }

// scaleValue is what a client stores for domain i, or as long as that, and where the
// text of the policy begins: 90 % of the domains have one of 100 texts.
func scaleValue(i int) (value []byte, text int) {
	host := fmt.Sprintf("provider%02d.example", i/10%100)
	if i%10 == 0 {
		host = scaleKey(i)
	}
	head := fmt.Sprintf("%016d%014d", i, 20260101000000+int64(i))
	lines := []string{"version: STSv1", "mode: enforce", "mx: mx1." + host, "mx: mx2." + host, "mx: mx3." + host, "max_age: 2592000", ""}
	return []byte(head + strings.Join(lines, "\r\n")), len(head)
}

func missing(key string, ok bool, err error) error {
	if err == nil && !ok {
		err = fmt.Errorf("%q is missing", key)
	}
	return err
}
