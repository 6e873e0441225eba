package mtasts

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

const entryText = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmax_age: 604800\r\n"

func sample(t testing.TB) *Policy {
	t.Helper()
	file, err := parseFile(entryText)
	if err != nil {
		t.Fatal(err)
	}
	return newPolicy("example.com", "20160831085700Z", file, time.Unix(1700000000, 123456789))
}

func TestAnEntryComesBackAsItWasStored(t *testing.T) {
	for _, id := range []string{"1", strings.Repeat("z", 32)} {
		p := sample(t)
		p.ID = id
		p.stamp = p.Fetched.Add(time.Hour) // as after the clock was set back
		used := time.Unix(1700000001, 0)
		entry := encodeEntry(p, used)
		got, gotUsed, err := decodeEntry(p.Domain, entry, parseFile)
		if err != nil {
			t.Fatal(err)
		}
		if !gotUsed.Equal(used) {
			t.Errorf("last use is %v, want %v", gotUsed, used)
		}
		if !got.stamp.Equal(p.stamp) {
			t.Errorf("stamp is %v, want %v", got.stamp, p.stamp)
		}
		got.stamp = p.stamp
		if !reflect.DeepEqual(got, p) {
			t.Errorf("got %+v\nwant %+v", got, p)
		}
	}
}

// A policy that is valid by an earlier clock ends when that clock says so, also after a restart.
func TestAnEntryKeepsTheEndThatAnEarlierClockSet(t *testing.T) {
	p := sample(t)
	right := p.Fetched.Add(365 * 24 * time.Hour)
	p.stamp, p.until = right, right.Add(time.Hour)
	moved := p.afterClockChange(right)
	got, _, err := decodeEntry(p.Domain, encodeEntry(moved, right), parseFile)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Expires.Equal(p.until) || !got.Fetched.Equal(right) {
		t.Errorf("fetched %v, expires %v; want %v and %v", got.Fetched, got.Expires, right, p.until)
	}
}

func TestADamagedEntryIsNeverAPolicy(t *testing.T) {
	entry := encodeEntry(sample(t), time.Unix(0, 0))
	for bit := range 8 * len(entry) {
		flipped := append([]byte(nil), entry...)
		flipped[bit/8] ^= 1 << (bit % 8)
		if p, _, err := decodeEntry("example.com", flipped, parseFile); !errors.Is(err, errDamaged) || p != nil {
			t.Fatalf("bit %d flipped: %+v, %v", bit, p, err)
		}
	}
	for n := range len(entry) {
		if p, _, err := decodeEntry("example.com", entry[:n], parseFile); !errors.Is(err, errDamaged) || p != nil {
			t.Fatalf("cut to %d octets: %+v, %v", n, p, err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		torn := append([]byte(nil), entry...)
		for range 1 + random.IntN(20) {
			torn[random.IntN(len(torn))] = byte(random.Uint32())
		}
		if p, _, err := decodeEntry("example.com", torn, parseFile); err == nil && !reflect.DeepEqual(torn, entry) {
			t.Fatalf("%q was read as %+v", torn, p)
		}
	}
}

func TestAnEntryOfAnotherDomainIsDamaged(t *testing.T) {
	entry := encodeEntry(sample(t), time.Unix(0, 0))
	if p, _, err := decodeEntry("example.net", entry, parseFile); !errors.Is(err, errDamaged) {
		t.Errorf("%+v, %v: example.com's entry was read as example.net's", p, err)
	}
}

// FuzzEntry: whatever a store returns, decoding does not panic, and what it
// accepts encodes to the same octets. The test corrects the checksum first: otherwise no
// mutation would get past it.
func FuzzEntry(f *testing.F) {
	for _, p := range []*Policy{sample(f), {}} {
		entry := encodeEntry(p, time.Unix(0, 0))
		f.Add("example.com", entry[entrySum:])
	}
	f.Add("example.com", []byte{})
	f.Fuzz(func(t *testing.T, domain string, body []byte) {
		b := append([]byte{entryVersion, 0, 0, 0, 0}, body...)
		binary.BigEndian.PutUint32(b[1:], entryChecksum(domain, b))
		p, used, err := decodeEntry(domain, b, parseFile)
		if err != nil {
			if p != nil || !errors.Is(err, errDamaged) {
				t.Fatalf("%+v, %v", p, err)
			}
			return
		}
		// A number may be encoded in more octets than necessary, so compare the values.
		entry := encodeEntry(p, used)
		again, usedAgain, err := decodeEntry(domain, entry, parseFile)
		if err != nil || !reflect.DeepEqual(again, p) || !usedAgain.Equal(used) {
			t.Fatalf("%q became %q: %v", b, entry, err)
		}
	})
}
