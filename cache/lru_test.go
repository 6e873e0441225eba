package cache_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mtasts/go-mtasts/cache"
)

func TestLRUHoldsWhatWasAdded(t *testing.T) {
	l := cache.NewLRU[string](10)
	if v, ok := l.Get("a"); ok || v != "" {
		t.Errorf("Get of an empty LRU = %q, %v", v, ok)
	}
	l.Add("a", "one", 1)
	l.Add("b", "two", 1)
	l.Add("a", "three", 1)
	for key, want := range map[string]string{"a": "three", "b": "two"} {
		if v, ok := l.Get(key); !ok || v != want {
			t.Errorf("Get(%q) = %q, %v; want %q", key, v, ok, want)
		}
	}
	l.Remove("a")
	l.Remove("c")
	if _, ok := l.Get("a"); ok || l.Len() != 1 {
		t.Errorf("after Remove: there: %v, Len = %d", ok, l.Len())
	}
}

// A small LRU holds exactly its size, and evicts in order.
func TestLRUSmallSizesAreExact(t *testing.T) {
	for _, size := range []int{-1, 0, 1, 2, 3, 10, 100, 1000, 2047} {
		l := cache.NewLRU[int](size)
		size = max(size, 1)
		for i := range 3 * size {
			l.Add(fmt.Sprint("host", i), i, 1)
			if want := min(i+1, size); l.Len() != want {
				t.Fatalf("size %d: Len = %d after %d entries", size, l.Len(), i+1)
			}
		}
		for i := range 3 * size {
			if v, ok := l.Get(fmt.Sprint("host", i)); ok != (i >= 2*size) || ok && v != i {
				t.Errorf("size %d: Get(%d) = %v, %v", size, i, v, ok)
			}
		}
	}
}

func TestLRUIsBoundedUnderAMillionKeys(t *testing.T) {
	for size, keys := range map[int]int{10: 1000, 2048: 50_000, 10_000: 1_000_000, 50_000: 300_000} {
		l := cache.NewLRU[int](size)
		key := make([]byte, 0, 20)
		for i := range keys {
			key = strconv.AppendInt(key[:0], int64(i), 10)
			l.Add(string(key), i, 1)
		}
		if n := l.Len(); n != size {
			t.Errorf("size %d: Len = %d", size, n)
		}
		if v, ok := l.Get(string(key)); !ok || v != keys-1 {
			t.Errorf("size %d: the last entry is gone", size)
		}
	}
}

// However keys spread over the shards, the LRU holds seven eighths of its size.
func TestLRUHoldsSevenEighths(t *testing.T) {
	for _, size := range []int{2048, 5000, 16 * 1024, 100_000} {
		l := cache.NewLRU[int](size)
		n := size * 7 / 8
		for i := range n {
			l.Add(fmt.Sprint("host", i), i, 1)
		}
		if l.Len() != n {
			t.Errorf("size %d: %d of %d entries are left", size, l.Len(), n)
		}
	}
}

func TestLRUEvictsWhatWasNotUsed(t *testing.T) {
	l := cache.NewLRU[int](100)
	for i := range 100 {
		l.Add(fmt.Sprint(i), i, 1)
	}
	used := func(i int) bool { return i%7 == 0 }
	for round := range 20 {
		for i := range 100 {
			if used(i) {
				if _, ok := l.Get(fmt.Sprint(i)); !ok {
					t.Fatalf("round %d: %d was used a moment ago and is gone", round, i)
				}
			}
		}
		for i := range 80 {
			l.Add(fmt.Sprint("other", round, i), i, 1)
		}
	}
	for i := range 100 {
		if _, ok := l.Get(fmt.Sprint(i)); ok != used(i) {
			t.Errorf("%d: there: %v, used: %v", i, ok, used(i))
		}
	}
}

// Used entries are evicted in the order in which they came. Several uses count as one, and a
// Peek is no use.
func TestLRUOrder(t *testing.T) {
	for _, test := range []struct{ does, left string }{
		{"+a +b +c +d", "bcd"},
		{"+a +b +c a +d", "acd"},
		{"+a +b +c a b +d", "abd"},
		{"+a +b +c a b c +d", "bcd"},
		{"+a +b +c a a +d +e", "ade"},
		{"+a +b +c a +d +e +f", "def"},
		{"+a +b +c a +d a +e a +f", "aef"},
		{"+a +b +c c +d +e", "cde"},
		{"+a +b +c a +a +d", "acd"},
		{"+a +b +c a -a +d +e", "cde"},
		{"+a +b +c ?a +d", "bcd"},
	} {
		l := cache.NewLRU[int](3)
		for does := range strings.FieldsSeq(test.does) {
			switch key := strings.TrimLeft(does, "+-?"); does[0] {
			case '+':
				l.Add(key, 0, 1)
			case '-':
				l.Remove(key)
			case '?':
				if _, ok := l.Peek(key); !ok {
					t.Errorf("%s: Peek finds no %s", test.does, key)
				}
			default:
				l.Get(key)
			}
		}
		left := ""
		for _, key := range "abcdef" {
			if _, ok := l.Get(string(key)); ok {
				left += string(key)
			}
		}
		if left != test.left {
			t.Errorf("%s: %s is left, want %s", test.does, left, test.left)
		}
	}
}

func TestLRUCountsCosts(t *testing.T) {
	l := cache.NewLRU[string](100)
	for i := range 90 {
		l.Add(fmt.Sprint(i), "", 1)
	}
	l.Add("large", "", 30) // 20 units too many
	for i := range 90 {
		if _, ok := l.Get(fmt.Sprint(i)); ok != (i >= 20) {
			t.Errorf("%d: there: %v", i, ok)
		}
	}
	// A replaced or removed entry no longer counts.
	l.Add("large", "", 1)
	for i := range 29 {
		l.Add(fmt.Sprint("more", i), "", 1)
	}
	if l.Len() != 100 {
		t.Errorf("Len = %d, want all 100", l.Len())
	}
	l.Remove("more0")
	l.Add("more0", "", -5) // counts as 1
	if l.Len() != 100 {
		t.Errorf("Len = %d, want all 100", l.Len())
	}
	// An entry whose cost grows evicts others, not itself.
	l.Add("large", "grown", 51)
	if v, ok := l.Get("large"); !ok || v != "grown" || l.Len() != 50 {
		t.Errorf("large: %q, %v; Len = %d, want 50", v, ok, l.Len())
	}
}

func TestLRUHoldsAnEntryThatCostsMoreThanItsSize(t *testing.T) {
	for _, size := range []int{1, 10} {
		l := cache.NewLRU[string](size)
		l.Add("small", "", 1)
		l.Add("large", "held", 1000)
		if v, ok := l.Get("large"); !ok || v != "held" || l.Len() != 1 {
			t.Errorf("size %d: large: %q, %v; Len = %d, want it alone", size, v, ok, l.Len())
		}
		l.Add("small", "", 1)
		if _, ok := l.Get("small"); !ok || l.Len() != 1 {
			t.Errorf("size %d: small: %v; Len = %d, want it alone", size, ok, l.Len())
		}
	}
}

// Entries of very different costs take no more room together than those of cost one.
func TestLRUBoundsTheSumOfCosts(t *testing.T) {
	const size = 20_000
	type sized struct{ cost int }
	l := cache.NewLRU[sized](size)
	rnd := rand.New(rand.NewPCG(1, 1))
	keys := make([]string, 50_000)
	for i := range keys {
		keys[i] = fmt.Sprint("host", i)
		cost := 1
		if i%2 == 0 {
			cost = 1 + rnd.IntN(64)
		}
		l.Add(keys[i], sized{cost}, cost)
	}
	sum := 0
	for _, key := range keys {
		if v, ok := l.Get(key); ok {
			sum += v.cost
		}
	}
	if sum > size || sum < size*7/8 {
		t.Errorf("the entries cost %d together, size %d", sum, size)
	}
}

func TestLRUConcurrentUse(t *testing.T) {
	l := cache.NewLRU[int](3000)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 0))
			for range 20_000 {
				i := rnd.IntN(5000)
				key := fmt.Sprint("host", i)
				switch rnd.IntN(8) {
				case 0:
					l.Add(key, i, 1+i%5)
				case 1:
					l.Remove(key)
				case 2:
					if n := l.Len(); n > 3000 {
						t.Errorf("Len = %d", n)
					}
				default:
					if v, ok := l.Get(key); ok && v != i {
						t.Errorf("Get(%q) = %d", key, v)
					}
				}
			}
		})
	}
	wg.Wait()
}

// While other keys come and go, an entry is found each time, and never with an older value
// than before.
func TestLRUFindsWhatStays(t *testing.T) {
	l := cache.NewLRU[int](3000)
	stays := make([]string, 100)
	for i := range stays {
		stays[i] = fmt.Sprint("stays", i)
		l.Add(stays[i], 0, 1)
	}
	var changers, readers sync.WaitGroup
	var done atomic.Bool
	for w := range 2 {
		changers.Go(func() { // too few keys to evict any
			for i := range 40_000 {
				key := fmt.Sprint("comes and goes", w, i%500)
				if i%1000 < 500 {
					l.Add(key, i, 1)
				} else {
					l.Remove(key)
				}
				if w == 0 {
					l.Add(stays[i%len(stays)], i, 1)
				}
			}
		})
		readers.Go(func() {
			seen := make([]int, len(stays))
			for i := 0; !done.Load(); i = (i + 1) % len(stays) {
				v, ok := l.Get(stays[i])
				if !ok || v < seen[i] {
					t.Errorf("Get(%q) = %d, %v after %d", stays[i], v, ok, seen[i])
					return
				}
				seen[i] = v
			}
		})
	}
	changers.Wait()
	done.Store(true)
	readers.Wait()
}

// With room for all keys, the LRU agrees with a map.
func TestLRUAgreesWithAMap(t *testing.T) {
	l, m := cache.NewLRU[int](5000), make(map[string]int)
	rnd := rand.New(rand.NewPCG(8461, 0))
	for i := range 300_000 {
		key := fmt.Sprint("host", rnd.IntN(4000)) // all have room
		switch rnd.IntN(3) {
		case 0:
			l.Add(key, i, 1)
			m[key] = i
		case 1:
			l.Remove(key)
			delete(m, key)
		}
		want, there := m[key]
		if got, ok := l.Get(key); ok != there || got != want {
			t.Fatalf("step %d: Get(%q) = %d, %v; want %d, %v", i, key, got, ok, want, there)
		}
	}
	if l.Len() != len(m) {
		t.Errorf("Len = %d, want %d", l.Len(), len(m))
	}
}

func TestLRUCountsEvictions(t *testing.T) {
	l := cache.NewLRU[int](10)
	for i := range 25 {
		l.Add(fmt.Sprint(i), i, 1)
	}
	l.Add("24", 0, 1) // replaced, not evicted
	l.Remove("24")
	if n := l.Evicted(); n != 15 {
		t.Errorf("Evicted = %d, want 15", n)
	}
	l.Add("large", 0, 8)
	if n := l.Evicted(); n != 22 {
		t.Errorf("Evicted = %d, want 22", n)
	}
}
