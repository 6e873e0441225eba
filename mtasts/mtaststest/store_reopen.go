package mtaststest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// testModel compares the store with a map.
func (s *storeTest) testModel() {
	values, ages := map[string]string{}, map[string]time.Duration{}
	rnd := rand.New(rand.NewPCG(8461, 8460))
	for i := range 1000 {
		key := fmt.Sprintf("%d.example", rnd.IntN(100))
		switch rnd.IntN(10) {
		case 0, 1, 2:
			s.delete(key)
			delete(values, key)
			delete(ages, key)
		case 3:
			if value, ok := values[key]; ok {
				s.want(key, value)
			} else {
				s.wantMissing(key)
			}
		default:
			size := rnd.IntN(500)
			if rnd.IntN(50) == 0 {
				size = rnd.IntN(70 << 10)
			}
			value := strings.Repeat(fmt.Sprintf("%d ", i), size)[:size]
			age := time.Duration(rnd.IntN(1000))
			s.put(key, value, age)
			if old, ok := ages[key]; !ok || age >= old {
				values[key], ages[key] = value, age
			}
		}
		if i%100 == 99 {
			s.again()
			s.wantAll(values)
		}
	}
}

func (s *storeTest) testReopen() {
	s.again()
	s.wantAll(nil)
	want := map[string]string{
		"a.example":   "a",
		"b.example":   "",
		"big.example": strings.Repeat("70 KiB of text. ", 70<<10/16),
	}
	for key, value := range want {
		s.put(key, value, 0)
	}
	s.put("removed.example", "value", 0)
	s.delete("removed.example")
	s.again()
	s.wantAll(want)

	// The fetched times, too, outlive the store.
	s.put("a.example", "older", -1)
	s.wantAll(want)
	s.put("b.example", "newer", 1)
	want["b.example"] = "newer"
	s.delete("big.example")
	delete(want, "big.example")
	s.again()
	s.wantAll(want)
}
