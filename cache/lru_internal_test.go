package cache

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Who changes a shard holds its lock; readers do not wait for him, except to move an
// entry, which one of them does once a second.
func TestLRUGetWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLRU[int](10)
		l.Add("a", &Entry[int]{Value: 1}, 1)
		n := l.shards[0].index.get(l.hash("a"), "a")
		added := n.moved.Load()
		time.Sleep(2 << tickBits)

		mu := &l.shards[0].mu
		mu.Lock()
		moved := make(chan struct{})
		go func() {
			l.Get("a")
			close(moved)
		}()
		for n.moved.Load() == added {
			runtime.Gosched() // until somebody is about to move it
		}
		for range 1000 { // would wait for ever, if it did
			if e := l.Get("a"); e == nil || e.Value != 1 {
				t.Fatalf("Get = %v", e)
			}
			l.Get("b")
		}
		select {
		case <-moved:
			t.Error("nobody waits to move the entry")
		default:
		}
		mu.Unlock()
		<-moved
	})
}

// A short key is where its entry is, and nowhere else.
func TestEntryOfAShortKeyIsOnePiece(t *testing.T) {
	key := "customer12345.example.com"
	e := new(Entry[int])
	if n := testing.AllocsPerRun(100, func() { e.setKey(key) }); n > 0 {
		t.Errorf("setKey allocates %v times", n)
	}
}

// To remove and add for ever takes no more room than what is there.
func TestLRUIndexDoesNotGrow(t *testing.T) {
	l := NewLRU[int](100)
	for i := range 100_000 {
		key := string(rune('a'+i%26)) + string(rune('a'+i/26%26))
		l.Add(key, &Entry[int]{Value: i}, 1)
		if i%3 == 0 {
			l.Remove(key)
		}
		if n := len(*l.shards[0].index.groups.Load()) * slotsPerGroup; n > 512 {
			t.Fatalf("%d slots for %d entries", n, l.Len())
		}
	}
}
