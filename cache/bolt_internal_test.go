package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func openInternal(t *testing.T) *Bolt {
	t.Helper()
	b, err := OpenBolt(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// flushNow has all that is in the log of b in its file.
func flushNow(t *testing.T, b *Bolt) {
	t.Helper()
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if err := b.flush(); err != nil || len(b.pending) > 0 {
		t.Fatalf("flush: %v; %d entries are pending", err, len(b.pending))
	}
}

// waitForQueue waits until n writes are in the queue and calls then.
func waitForQueue(b *Bolt, n int, then func()) {
	for {
		b.queueMu.Lock()
		if len(b.queue) == n {
			then()
			b.queueMu.Unlock()
			return
		}
		b.queueMu.Unlock()
		runtime.Gosched()
	}
}

// Writers who come while somebody stores share the next group of the log, and so one
// wait for the disk.
func TestBoltWritersShareAGroup(t *testing.T) {
	b := openInternal(t)
	before := b.state.txid
	b.turn <- struct{}{} // somebody commits
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			key := fmt.Sprintf("%d.example", i)
			if err := b.Put(context.Background(), key, nil, time.Now(), time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		})
	}
	waitForQueue(b, 100, func() {})
	<-b.turn
	wg.Wait()
	if n := b.wal.number; n != 1 || b.state.txid != before {
		t.Errorf("100 writes took %d groups and %d transactions", n, b.state.txid-before)
	}
}

// Of two writes of one key that share a group, it is not the last to come that counts but
// what was fetched last.
func TestBoltWritersOfTheSameKey(t *testing.T) {
	b := openInternal(t)
	ctx, now := context.Background(), time.Now()
	b.turn <- struct{}{} // somebody stores
	var wg sync.WaitGroup
	for i, value := range []string{"newer", "older"} {
		wg.Go(func() {
			if err := b.Put(ctx, "example.com", []byte(value), now.Add(-time.Duration(i)), now.Add(time.Hour)); err != nil {
				t.Error(err)
			}
		})
		waitForQueue(b, i+1, func() {})
	}
	<-b.turn
	wg.Wait()
	if got, _, err := b.Get(ctx, "example.com"); string(got) != "newer" || err != nil {
		t.Errorf("Get = %q, %v", got, err)
	}
}

// So do those who evict or prune, many at once.
func TestBoltDeletesShareATransaction(t *testing.T) {
	b := openInternal(t)
	ctx, now := context.Background(), time.Now()
	key := func(i int) string { return fmt.Sprintf("%d.example", i) }
	atOnce := func(fn func(key string) error) {
		t.Helper()
		b.turn <- struct{}{} // somebody commits
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				if err := fn(key(i)); err != nil {
					t.Error(err)
				}
			})
		}
		waitForQueue(b, 64, func() {})
		<-b.turn
		wg.Wait()
	}
	atOnce(func(key string) error { return b.Put(ctx, key, nil, now, now.Add(time.Hour)) })
	before := b.state.txid
	atOnce(func(key string) error { return b.Delete(ctx, key, now) })
	if n := b.state.txid - before; n != 1 {
		t.Errorf("64 deletes took %d transactions", n)
	}
	if keys, _, err := b.Scan(ctx, "", 1); len(keys) > 0 || err != nil {
		t.Errorf("Scan = %q, %v; want nothing", keys, err)
	}
}

// A writer whose context ends while it waits leaves, and leaves nothing behind.
func TestBoltPutLeavesTheQueue(t *testing.T) {
	b := openInternal(t)
	ctx, cancel := context.WithCancel(context.Background())
	b.turn <- struct{}{} // somebody else commits, for long
	result := make(chan error)
	go func() {
		result <- b.Put(ctx, "example.com", nil, time.Now(), time.Now().Add(time.Hour))
	}()
	waitForQueue(b, 1, func() {})
	cancel()
	if err := <-result; err != context.Canceled {
		t.Errorf("Put: %v, want context.Canceled", err)
	}
	<-b.turn
	if err := b.Put(context.Background(), "example.net", nil, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if _, ok, err := b.Get(context.Background(), "example.com"); ok || err != nil {
		t.Errorf("Get = %v, %v after a Put that was cancelled", ok, err)
	}
}

// A writer whose context ends while the disk is at work leaves too, and says
// that it does not know.
func TestBoltPutUnderWay(t *testing.T) {
	b := openInternal(t)
	ctx, cancel := context.WithCancel(context.Background())
	b.turn <- struct{}{}
	result := make(chan error)
	go func() {
		result <- b.Put(ctx, "example.com", nil, time.Now(), time.Now().Add(time.Hour))
	}()
	var batch []*write
	waitForQueue(b, 1, func() { batch, b.queue = b.queue, nil })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "may be stored") {
		t.Errorf("Put: %v", err)
	}
	b.queue = batch
	b.storeQueue()
	<-b.turn
	if _, ok, err := b.Get(context.Background(), "example.com"); !ok || err != nil {
		t.Errorf("Get = %v, %v", ok, err)
	}
}

// A panic of bbolt, which may leave its locks held, is an error of all writes
// from then on. Reading goes on, and Close does not wait for ever.
func TestBoltContainsPanics(t *testing.T) {
	b := openInternal(t)
	ctx := context.Background()
	put := func(key string) error {
		return b.Put(ctx, key, []byte("value"), time.Now(), time.Now().Add(time.Hour))
	}
	if err := put("example.com"); err != nil {
		t.Fatal(err)
	}
	err := b.contain(func() error {
		if _, err := b.db.Begin(true); err != nil { // never ended
			t.Fatal(err)
		}
		panic("assertion failed: \x1b")
	})
	for _, err := range []error{err, put("example.net"), b.Delete(ctx, "example.com", time.Now())} {
		if err == nil || !strings.Contains(err.Error(), `"assertion failed: \x1b"`) {
			t.Errorf("error %v", err)
		}
	}
	if value, ok, err := b.Get(ctx, "example.com"); !ok || err != nil || string(value) != "value" {
		t.Errorf("Get = %q, %v, %v", value, ok, err)
	}
	// What is in the log has to wait for the next process.
	if err := b.Close(); err == nil || !strings.Contains(err.Error(), b.path+walSuffix) {
		t.Errorf("Close: %v; want an error that names the log", err)
	}
	if _, left, err := openWAL(b.path+walSuffix, b.state.id, b.file); err != nil || len(left) != 1 || string(left[0].key) != "example.com" {
		t.Errorf("%d entries are in the log, %v", len(left), err)
	}
}

// Pages that go in circles would be walked until the stack overflows, and a store
// always has its first and its last page.
func TestReaderOfPagesThatCannotBe(t *testing.T) {
	const pageSize = 4096
	data := make([]byte, 4*pageSize)
	branch, ne := data[2*pageSize:], binary.NativeEndian
	ne.PutUint64(branch, 2)
	ne.PutUint16(branch[8:], branchPage)
	ne.PutUint16(branch[10:], 1)
	ne.PutUint32(branch[pageHeader:], elementSize) // the key is behind the element
	ne.PutUint32(branch[pageHeader+4:], 1)
	ne.PutUint64(branch[pageHeader+8:], 2) // the page below is this page
	branch[pageHeader+elementSize] = 'k'
	file, err := os.Create(filepath.Join(t.TempDir(), "pages"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		t.Fatal(err)
	}
	r := &reader{file: file}
	r.reset(&state{meta: meta{pageSize: pageSize, pages: 4}})
	root, err := r.page(2)
	if err != nil {
		t.Fatal(err)
	}
	s := scan{from: "a", limit: 10}
	s.leaf(r, node{leaf: true})
	if s.from != highKey || s.err == nil {
		t.Errorf("a scan of an empty leaf: at %q, %v", s.from, s.err)
	}
	s = scan{from: "a", limit: 10}
	for range 3 { // what is before "k", what is behind it, and the end
		s.leaf(r, root)
	}
	if s.from != highKey || len(s.found) > 0 || s.err == nil {
		t.Errorf("a scan: at %q, %q, %v", s.from, s.found, s.err)
	}
	if _, err := r.walk(root, []byte("key"), toRead); err == nil || !strings.Contains(err.Error(), "circles") {
		t.Errorf("walk: %v", err)
	}
}

// What was shared in a transaction that has failed is not in the file, and nothing may
// refer to it.
func TestBoltForgetsWhatAFailedTransactionShared(t *testing.T) {
	b := openInternal(t)
	ctx, now := context.Background(), time.Now()
	value := func(key string) []byte { return []byte(key[:5] + strings.Repeat("mx: mail.example.com\n", 5)) }
	put := func(key string) {
		t.Helper()
		if err := b.PutShared(ctx, key, value(key), 5, now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	put("first.example")
	flushNow(t, b)
	b.turn <- struct{}{}
	w := &write{key: []byte("other.example"), record: record{fetched: now, expires: now.Add(time.Hour), value: value("other")}, shared: 5}
	b.reader.branches = nil
	err := b.update(func(tx *bolt.Tx) error {
		b.reader.reset(b.state)
		if _, err := b.apply(tx.Bucket([]byte(entriesBucket)), &b.reader, w); err != nil || !b.shared.more {
			t.Errorf("nothing was shared: %v", err)
		}
		return errors.New("the disk is full")
	})
	b.shared.settle(err)
	<-b.turn
	put("third.example")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenBolt(b.path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for _, key := range []string{"first.example", "third.example"} {
		if got, ok, err := again.Get(ctx, key); !ok || err != nil || string(got) != string(value(key)) {
			t.Errorf("Get(%q) = %q, %v, %v", key, got, ok, err)
		}
	}
}

// A state without its entries is none: whoever got it would read nothing, or worse.
func TestBoltInspectReturnsAWholeStateOrNone(t *testing.T) {
	b := openInternal(t)
	// More than fits in the page of the bucket, so that they have a page of their own.
	value := make([]byte, 10_000)
	if err := b.Put(context.Background(), "example.com", value, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	flushNow(t, b)
	var at int64
	if err := b.view(func(r *reader, _ node) error {
		top, err := r.page(b.state.root)
		if err != nil {
			return err
		}
		bucket, _, err := r.bucket(top, entriesBucket)
		at = int64(binary.NativeEndian.Uint64(bucket)) * int64(b.state.pageSize)
		return err
	}); err != nil || at == 0 {
		t.Fatalf("the entries are at %d, %v", at, err)
	}
	if _, err := b.file.WriteAt([]byte{0xff, 0xff}, at+8); err != nil {
		t.Fatal(err)
	}
	if s, err := (&reader{file: b.file}).inspect(); s != nil || err == nil {
		t.Errorf("inspect = %v, %v of a file without its entries", s, err)
	}
}

func TestFreelistHas(t *testing.T) {
	var l freelist
	for _, id := range []uint64{3, 5, 1 << 33} {
		l = binary.NativeEndian.AppendUint64(l, id)
	}
	for id, want := range map[uint64]bool{0: false, 2: false, 3: true, 4: false, 5: true, 6: false, 1 << 33: true, 1<<33 + 1: false} {
		if l.has(id) != want || freelist(nil).has(id) {
			t.Errorf("%d: %v, want %v", id, l.has(id), want)
		}
	}
}

// A page is compared with the element by which another refers to it, unless that is the
// one with which it has been compared before and both pages are held: a page that is read
// again may be damaged by then.
func TestReaderComparesWhatIsNotKnown(t *testing.T) {
	b := openInternal(t)
	for i := range 200 {
		key, value := fmt.Sprintf("%03d.%sexample", i, strings.Repeat("a-long-name.", 19)), make([]byte, 3<<10)
		if err := b.Put(context.Background(), key, value, time.Now(), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	flushNow(t, b)
	held := b.state.entries
	read, err := (&reader{file: b.file, state: b.state}).page(held.id)
	if err != nil {
		t.Fatal(err)
	}
	// with returns n after its element 2 has become one of another key and page.
	with := func(n node, key, page int) node {
		n.data = bytes.Clone(n.data)
		copy(n.key(2), n.key(key))
		binary.NativeEndian.PutUint64(n.data[pageHeader+2*elementSize+8:], n.child(page))
		return n
	}
	another := with(held, 3, 2)
	another.id++
	for _, tt := range []struct {
		name        string
		first, then node
		compared    bool
	}{
		{"held", held, with(held, 3, 2), false},
		{"first not held", read, with(held, 3, 2), true},
		{"then not held", held, with(read, 3, 2), true},
		{"another element", held, with(held, 2, 1), true},
		{"another page", held, another, true},
	} {
		r := &reader{file: b.file, branches: new(branches), state: b.state}
		for i := range 3 {
			if _, err := r.child(tt.first, i); err != nil || r.branches.get(tt.first.child(i), b.state.txid) == nil {
				t.Fatalf("%s: the page below is not held: %v", tt.name, err)
			}
		}
		_, err := r.child(tt.then, 2)
		if compared := err != nil; compared != tt.compared {
			t.Errorf("%s: compared = %v, %v", tt.name, compared, err)
		}
	}
}
