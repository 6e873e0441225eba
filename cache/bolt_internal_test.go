package cache

import (
	"context"
	"errors"
	"fmt"
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

// So do those who remove, many at once.
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

// What a failed transaction has left as it was is not read again.
func TestBoltKeepsTheStateOfAFailedTransaction(t *testing.T) {
	b := openInternal(t)
	before := b.state
	b.turn <- struct{}{}
	err := b.update(func(tx *bolt.Tx) error { return errors.New("the disk is full") })
	<-b.turn
	if err == nil || b.state != before {
		t.Errorf("update = %v; the state is another: %v", err, b.state != before)
	}
}
