package mtaststest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

func (s *storeTest) testMissing() {
	s.wantMissing("example.com")
	s.delete("example.com")
	s.wantAll(nil)
	s.put("b.example", "b", 0)
	s.wantMissing("a.example")
	s.wantMissing("b.exampl")
	s.wantMissing("b.example.")
	s.wantMissing("c.example")
}

func (s *storeTest) testGet() {
	s.put("example.com", "one", 0)
	s.want("example.com", "one")
	s.put("example.net", "net", 0)
	s.want("example.com", "one")
	s.put("example.com", "a longer one", time.Second)
	s.put("example.net", "", time.Second)
	s.wantAll(map[string]string{"example.com": "a longer one", "example.net": ""})
}

func (s *storeTest) testKeys() {
	want := map[string]string{}
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789-_." {
		for _, key := range []string{string(c), "x" + string(c) + "y", string(c) + ".example.com"} {
			want[key] = "value of " + key
		}
	}
	label := strings.Repeat("a", 63)
	longest := strings.Join([]string{label, label, label, label[:61]}, ".")
	for n := range 6 {
		want[longest[:len(longest)-n]] = fmt.Sprint("of 253 octets less ", n)
		want[longest[n:]] = fmt.Sprint("the end of it from ", n)
	}
	for key, value := range want {
		s.put(key, value, 0)
	}
	s.wantAll(want)
}

func (s *storeTest) testValues() {
	octets := make([]byte, 256)
	for i := range octets {
		octets[i] = byte(i)
	}
	want := map[string]string{
		"empty.example":   "",
		"nul.example":     "\x00",
		"octets.example":  string(octets),
		"newline.example": "version: STSv1\r\n",
	}
	for i, size := range []int{4 << 10, 64 << 10, 70<<10 - 1, 70 << 10, 70 << 10, 70 << 10} {
		big := bytes.Repeat(octets, size/256+2)[i:][:size]
		want[fmt.Sprintf("big%d.example", i)] = string(big)
	}
	for range 2 { // over each other, too
		for key, value := range want {
			s.put(key, value, 0)
		}
	}
	s.wantAll(want)
	s.put("big3.example", "small", time.Second)
	s.put("empty.example", want["big4.example"], time.Second)
	want["big3.example"], want["empty.example"] = "small", want["big4.example"]
	s.wantAll(want)
}

func (s *storeTest) testOrder() {
	const key = "example.com"
	s.put(key, "held", 0)
	s.put(key, "older by an hour", -time.Hour)
	s.want(key, "held")
	s.put(key, "older by a nanosecond", -1)
	s.want(key, "held")
	s.put(key, "as old", 0)
	s.want(key, "as old")
	s.put(key, "newer by a nanosecond", 1)
	s.want(key, "newer by a nanosecond")
	s.put(key, "as old as the first", 0)
	s.want(key, "newer by a nanosecond")

	// An instant is the same instant in any place on Earth.
	east := time.FixedZone("east", 14*3600)
	for i, fetched := range []time.Time{s.now.Add(2).In(east), s.now.Add(3).UTC(), s.now.Add(4).Round(0)} {
		value := fmt.Sprint("zone ", i)
		if err := s.tryPut(key, []byte(value), fetched, s.now.Add(time.Hour)); err != nil {
			s.Fatal(err)
		}
		s.want(key, value)
	}

	// The order is one of the writes of one key.
	s.put("example.net", "older than the other", -time.Hour)
	s.want("example.net", "older than the other")
}

func (s *storeTest) testOrderOfExpired() {
	// An entry of a clock that was ahead, which ended before the clock was right again.
	ahead := s.now.Add(365 * 24 * time.Hour)
	put := func(key, value string, fetched, expires time.Time) {
		s.Helper()
		if err := s.tryPut(key, []byte(value), fetched, expires); err != nil {
			s.Fatalf("Write of %q: %v", key, err)
		}
	}
	put("a.example", "expired", ahead, s.now.Add(-time.Second))
	put("a.example", "valid", s.now, s.now.Add(time.Hour))
	s.want("a.example", "valid")
	// So it stays when the store is opened again, where there was more than one.
	put("b.example", "first", s.now, s.now.Add(time.Hour))
	put("b.example", "expired", ahead, s.now.Add(-time.Second))
	put("b.example", "valid", s.now.Add(1), s.now.Add(time.Hour))
	s.want("b.example", "valid")
	put("c.example", "expired", ahead, s.now.Add(-time.Second))
	if err := s.tryDelete("c.example", s.now); err != nil {
		s.Fatalf("removal: %v", err)
	}
	s.wantMissing("c.example")
	if s.reopen != nil {
		s.close()
		s.use(s.reopen(s.T))
		s.want("a.example", "valid")
		s.want("b.example", "valid")
		s.wantMissing("c.example")
	}
}

func (s *storeTest) testDelete() {
	s.put("a.example", "a", 0)
	s.put("b.example", "b", 0)
	s.put("c.example", "c", 0)
	s.delete("b.example")
	s.wantAll(map[string]string{"a.example": "a", "c.example": "c"})
	s.delete("b.example")
	// What is gone has no fetched time that could be later.
	s.put("b.example", "older", -time.Hour)
	s.wantAll(map[string]string{"a.example": "a", "b.example": "older", "c.example": "c"})
	for _, key := range []string{"a.example", "b.example", "c.example"} {
		s.delete(key)
	}
	s.wantAll(nil)
}

func (s *storeTest) testDeleteOrder() {
	const key = "example.com"
	s.put(key, "held", 0)
	deleteAs := func(fetched time.Time) {
		s.Helper()
		if err := s.tryDelete(key, fetched); err != nil {
			s.Fatalf("removal: %v", err)
		}
	}
	for _, earlier := range []time.Duration{-1, -time.Second, -time.Hour} {
		deleteAs(s.now.Add(earlier))
		s.want(key, "held")
	}
	deleteAs(time.Time{})
	s.want(key, "held")
	// The time is that of the value there, and not of the first one under the key.
	s.put(key, "newer", time.Second)
	deleteAs(s.now)
	s.want(key, "newer")

	deleteAs(s.now.Add(time.Second))
	s.wantMissing(key)

	// An instant is the same instant in any place on Earth.
	east := time.FixedZone("east", 14*3600)
	for _, fetched := range []time.Time{s.now, s.now.UTC(), s.now.Round(0), s.now.In(east), s.now.Add(time.Hour)} {
		s.put(key, "again", 0)
		deleteAs(fetched)
		s.wantMissing(key)
	}
}

func (s *storeTest) testExpiry() {
	// A time is not cut to a whole second: these are there to the end, whatever
	// is written beside them.
	start := time.Now()
	for ms := 20; ms <= 200; ms += 20 {
		expires := start.Add(time.Duration(ms) * time.Millisecond)
		key := fmt.Sprintf("soon%d.example", ms)
		if err := s.tryPut(key, []byte{}, s.now, expires); err != nil {
			s.Fatalf("Write of %q: %v", key, err)
		}
		for i := 0; ; i++ {
			s.put("beside.example", fmt.Sprint(i), time.Since(s.now))
			_, ok, err := s.Get(s.Context(), key)
			if !time.Now().Before(expires) {
				break
			}
			if !ok || err != nil {
				s.Fatalf("Get(%q) %v before it expires: %v, %v", key, time.Until(expires), ok, err)
			}
		}
		s.delete(key)
	}
	s.delete("beside.example")

	// Enough entries to make a store that holds a bounded number drop some.
	want := map[string]string{}
	var wg sync.WaitGroup
	for i := range 3000 {
		key := fmt.Sprintf("host%d.example", i)
		want[key] = key
		wg.Go(func() {
			expires := s.now.Add(time.Minute + time.Duration(i)*time.Hour)
			if err := s.tryPut(key, []byte(key), s.now, expires); err != nil {
				s.Errorf("Write of %q: %v", key, err)
			}
		})
	}
	wg.Wait()
	s.wantAll(want)
}

func (s *storeTest) testExpired() {
	const key = "example.com"
	put := func(value string, age, life time.Duration) {
		s.Helper()
		fetched := s.now.Add(age)
		if err := s.tryPut(key, []byte(value), fetched, fetched.Add(life)); err != nil {
			s.Fatalf("Write: %v", err)
		}
	}
	put("expired", -time.Hour, time.Minute)
	if _, _, err := s.Get(s.Context(), key); err != nil {
		s.Errorf("Get of an expired entry: %v", err)
	}
	put("alive", 0, time.Hour)
	s.wantAll(map[string]string{key: "alive"})
	put("expired", -time.Hour, time.Minute)
	s.wantAll(map[string]string{key: "alive"})
}

func (s *storeTest) testCopies() {
	want := map[string]string{"a.example": "aaaa", "b.example": "bbbb", "c.example": "cccc"}
	for key, value := range want {
		b := []byte(value + " and room")[:len(value)]
		if err := s.tryPut(key, b, s.now, s.now.Add(time.Hour)); err != nil {
			s.Fatal(err)
		}
		copy(b, "XXXX") // it is the caller's again
	}
	s.wantAll(want)

	got, _, err := s.Get(s.Context(), "a.example")
	if err != nil || len(got) != 4 {
		s.Fatalf("Get = %q, %v", got, err)
	}
	s.put("a.example", "new!", time.Second)
	if string(got) != "aaaa" {
		s.Errorf("a Write changed what an earlier Get had returned to %q", got)
	}
	copy(got, "XXXX")
	_ = append(got, 'X')
	want["a.example"] = "new!"
	s.wantAll(want)

	keys, values, err := s.Scan(s.Context(), "", 10)
	if err != nil || len(values) != 3 {
		s.Fatalf("Scan = %q, %q, %v", keys, values, err)
	}
	for i := range values {
		_ = append(values[i], 'X') // into the next one, if they share an array
	}
	for i, key := range keys {
		if string(values[i]) != want[key] {
			s.Errorf("appending to one value of a Scan changed that of %q to %q", key, values[i])
		}
		copy(values[i], "XXXX")
	}
	s.wantAll(want)
	for _, key := range keys {
		s.delete(key)
	}
	if !slices.Equal(keys, []string{"a.example", "b.example", "c.example"}) {
		s.Errorf("a removal changed the keys that an earlier Scan had returned to %q", keys)
	}

	// What was returned stays as it is, whatever is called after that.
	for i := range 100 {
		key := fmt.Sprintf("%d.example", i)
		s.put(key, strings.Repeat(key, 30), 0)
	}
	held := map[string][]byte{}
	for i := range 100 {
		key := fmt.Sprintf("%d.example", i)
		if held[key], _, err = s.Get(s.Context(), key); err != nil {
			s.Fatal(err)
		}
	}
	keys, values, err = s.Scan(s.Context(), "", 100)
	if err != nil || len(values) != 100 {
		s.Fatalf("Scan returned %d entries, %v", len(values), err)
	}
	s.scan(3)
	for i, key := range keys {
		if want := strings.Repeat(key, 30); string(held[key]) != want || string(values[i]) != want {
			s.Errorf("of %q, Get had returned %s and Scan %s", key, quoteShort(string(held[key])), quoteShort(string(values[i])))
		}
	}
}
