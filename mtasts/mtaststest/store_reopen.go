package mtaststest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// testModel compares the store with a map.
func (s *storeTest) testModel() {
	type held struct {
		value string
		age   time.Duration
	}
	model := map[string]held{}
	values := func() map[string]string {
		m := map[string]string{}
		for key, h := range model {
			m[key] = h.value
		}
		return m
	}
	rnd := rand.New(rand.NewPCG(8461, 8460))
	for i := range 1000 {
		key := fmt.Sprintf("%d.example", rnd.IntN(100))
		switch rnd.IntN(10) {
		case 0, 1, 2:
			s.delete(key)
			delete(model, key)
		case 3:
			if h, ok := model[key]; ok {
				s.want(key, h.value)
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
			if h, ok := model[key]; !ok || age >= h.age {
				model[key] = held{value, age}
			}
		}
		if i%100 == 99 {
			if s.reopen != nil {
				s.close()
				s.use(s.reopen(s.T))
			}
			s.wantAll(values())
		}
	}
}

func (s *storeTest) testReopen() {
	if s.reopen == nil {
		return // a store that forgets
	}
	again := func() {
		s.Helper()
		s.close()
		s.use(s.reopen(s.T))
	}
	again()
	s.wantAll(nil)
	want := map[string]string{
		"a.example":   "a",
		"b.example":   "",
		"big.example": strings.Repeat("70 KiB of text. ", 70<<10/16),
	}
	for key, value := range want {
		s.put(key, value, 0)
	}
	s.put("gone.example", "gone", 0)
	s.delete("gone.example")
	again()
	s.wantAll(want)

	// The order of the writes is remembered as well.
	s.put("a.example", "older", -1)
	s.wantAll(want)
	s.put("b.example", "newer", 1)
	want["b.example"] = "newer"
	s.delete("big.example")
	delete(want, "big.example")
	again()
	s.wantAll(want)
}
