package cache

import "testing"

// Who changes a shard holds its lock; readers do not wait for him.
func TestLRUGetWaitsForNobody(t *testing.T) {
	l := NewLRU[int](10)
	l.Add("a", &Entry[int]{Value: 1}, 1)
	mu := &l.shards[0].mu
	mu.Lock()
	defer mu.Unlock()
	for range 2 { // the first use, and one more
		if e := l.Get("a"); e == nil || e.Value != 1 { // would wait for ever, if it did
			t.Fatalf("Get = %v", e)
		}
		l.Get("b")
	}
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
