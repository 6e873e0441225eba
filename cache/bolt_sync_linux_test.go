package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// reopened opens what is on the disk of b, as after a crash.
func reopened(t *testing.T, b *Bolt) *Bolt {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	for _, suffix := range []string{"", walSuffix} {
		data, err := os.ReadFile(b.path + suffix)
		if err == nil {
			err = os.WriteFile(path+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	again, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

// What a log has that could not be synced may be there all the same after a crash. It does
// not bring back what has been removed since.
func TestBoltLogThatCannotBeSynced(t *testing.T) {
	b := openInternal(t)
	ctx, now := context.Background(), time.Now()
	put := func(key string) {
		t.Helper()
		if err := b.Put(ctx, key, []byte("value"), now, now.Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	for _, first := range []bool{true, false} { // is it the first group of the log?
		if put("other.example"); first {
			flushNow(t, b)
		}
		group := []*write{{key: []byte("example.com"), record: record{fetched: now, expires: now.Add(time.Hour), value: []byte("value")}}}
		data, err := appendGroup(nil, group)
		if err != nil {
			t.Fatal(err)
		}
		b.wal.seal(data)
		if _, err := b.wal.file.WriteAt(data, int64(b.wal.end)); err != nil {
			t.Fatal(err)
		}
		// What is written there goes nowhere, and cannot be synced.
		withDisk(t, b.wal.file, os.DevNull, os.O_RDWR, func() {
			// It is stored without the log, or not at all.
			if err := b.Put(ctx, "example.com", []byte("value"), now, now.Add(time.Hour)); err != nil && !errors.Is(err, syscall.EINVAL) {
				t.Error(err)
			}
		})
		put("example.com")
		if err := b.Delete(ctx, "example.com", now); err != nil {
			t.Error(err)
		}
		again := reopened(t, b)
		if _, ok, err := again.Get(ctx, "example.com"); ok || err != nil {
			t.Errorf("first: %v: Get = %v, %v after a crash, though it was removed", first, ok, err)
		}
		if _, ok, err := again.Get(ctx, "other.example"); !ok || err != nil {
			t.Errorf("first: %v: Get = %v, %v of another", first, ok, err)
		}
	}
}

// After a transaction that has failed, the file may have what the disk does not. To find it
// there is no reason to report it as stored.
func TestBoltBelievesNothingAfterAFailedTransaction(t *testing.T) {
	b := openInternal(t)
	ctx, now := context.Background(), time.Now()
	put := func() {
		t.Helper()
		if err := b.Put(ctx, "example.com", []byte("value"), now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	put()
	flushNow(t, b)
	b.turn <- struct{}{}
	if err := b.update(func(*bolt.Tx) error { return errors.New("the disk has failed") }); err == nil {
		t.Error("no error")
	}
	<-b.turn
	// With another that has something new, it is believed no more than alone.
	before := b.state.txid
	b.turn <- struct{}{}
	var wg sync.WaitGroup
	for i, key := range []string{"example.com", "other.example"} {
		wg.Go(func() {
			if err := b.Put(ctx, key, []byte("value"), now, now.Add(time.Hour)); err != nil {
				t.Error(err)
			}
		})
		waitForQueue(b, i+1, func() {})
	}
	<-b.turn
	wg.Wait()
	if n := b.state.txid - before; n != 1 {
		t.Errorf("after it, Put of the same took %d transactions", n)
	}
	before = b.state.txid
	if put(); b.state.txid != before {
		t.Error("when a transaction has succeeded, Put of the same took another")
	}
}

// Nor is it believed by Close, or by the process after a crash.
func TestBoltClosesNothingThatTheDiskMayNotHave(t *testing.T) {
	b := openInternal(t)
	now := time.Now()
	if err := b.Put(context.Background(), "example.com", []byte("value"), now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	// As if the crash were between the transaction and the log's new beginning.
	log, err := os.ReadFile(b.path + walSuffix)
	if err != nil {
		t.Fatal(err)
	}
	flushNow(t, b)
	if err := os.WriteFile(b.path+walSuffix, log, 0o600); err != nil {
		t.Fatal(err)
	}
	again := reopened(t, b)
	before := again.state.txid
	if err := again.Close(); err != nil || again.state.txid != before+1 {
		t.Errorf("after a crash, Close made %d transactions, %v", again.state.txid-before, err)
	}
	b.turn <- struct{}{}
	if err := b.update(func(*bolt.Tx) error { return errors.New("the disk has failed") }); err == nil {
		t.Error("no error")
	}
	<-b.turn
	before = b.state.txid
	if err := b.Close(); err != nil || b.state.txid != before+1 {
		t.Errorf("after a failed transaction, Close made %d, %v", b.state.txid-before, err)
	}
}
