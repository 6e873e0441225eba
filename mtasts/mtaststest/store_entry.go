package mtaststest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

func (s *storeTest) testMissing() {
	s.wantMissing("example.com")
	s.delete("example.com")
	s.wantAll(nil)
	s.put("b.example", "b", 0)
	for _, key := range []string{"a.example", "b.exampl", "b.example.", "c.example"} {
		s.wantMissing(key)
	}
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
		want[fmt.Sprintf("big%d.example", i)] = string(bytes.Repeat(octets, size/256+2)[i:][:size])
	}
	for range 2 { // the second time, each value replaces its equal
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

func (s *storeTest) testEmpty() {
	s.put("empty.example", "", 0)
	s.put("emptied.example", "value", 0)
	s.put("emptied.example", "", 1)
	s.put("removed.example", "", 0)
	s.write(cache.Change{Key: "removed.example", Fetched: s.now, Expires: s.now.Add(time.Hour)})
	s.wantAll(map[string]string{"empty.example": "", "emptied.example": ""})
}

func (s *storeTest) testDelete() {
	s.put("a.example", "a", 0)
	s.put("b.example", "b", 0)
	s.put("c.example", "c", 0)
	s.delete("b.example")
	s.wantAll(map[string]string{"a.example": "a", "c.example": "c"})
	s.delete("b.example")
	// After its removal, a key has no fetched time that could be later.
	s.put("b.example", "older", -time.Hour)
	s.wantAll(map[string]string{"a.example": "a", "b.example": "older", "c.example": "c"})
	for _, key := range []string{"a.example", "b.example", "c.example"} {
		s.delete(key)
	}
	s.wantAll(nil)
}
