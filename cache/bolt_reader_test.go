package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Pages that go in circles would be walked until the stack overflows, and a store
// always has its first and its last page.
func TestReaderOfPagesThatCannotBe(t *testing.T) {
	const pageSize = 4096
	data := make([]byte, 4*pageSize)
	branch, ne := data[2*pageSize:], binary.NativeEndian
	ne.PutUint64(branch, 2)
	ne.PutUint16(branch[8:], branchPage)
	ne.PutUint16(branch[10:], 1)
	ne.PutUint32(branch[pageHeader:], elementSize) // the key is behind the element
	ne.PutUint32(branch[pageHeader+4:], 1)
	ne.PutUint64(branch[pageHeader+8:], 2) // the page below is this page
	branch[pageHeader+elementSize] = 'k'
	file, err := os.Create(filepath.Join(t.TempDir(), "pages"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		t.Fatal(err)
	}
	r := &reader{file: file}
	r.reset(&state{meta: meta{pageSize: pageSize, pages: 4}})
	root, err := r.page(2)
	if err != nil {
		t.Fatal(err)
	}
	s := scan{from: "a", limit: 10}
	s.leaf(r, node{leaf: true})
	if s.from != highKey || s.err == nil {
		t.Errorf("a scan of an empty leaf: at %q, %v", s.from, s.err)
	}
	s = scan{from: "a", limit: 10}
	for range 3 { // what is before "k", what is behind it, and the end
		s.leaf(r, root)
	}
	if s.from != highKey || len(s.found) > 0 || s.err == nil {
		t.Errorf("a scan: at %q, %q, %v", s.from, s.found, s.err)
	}
	if _, err := r.walk(root, []byte("key"), toRead); err == nil || !strings.Contains(err.Error(), "circles") {
		t.Errorf("walk: %v", err)
	}
}

// A state without its entries is none: whoever got it would read nothing, or worse.
func TestBoltInspectReturnsAWholeStateOrNone(t *testing.T) {
	b := openInternal(t)
	// More than fits in the page of the bucket, so that they have a page of their own.
	value := make([]byte, 10_000)
	if err := b.Put(context.Background(), "example.com", value, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	flushNow(t, b)
	var at int64
	if err := b.view(func(r *reader, _ node) error {
		top, err := r.page(b.state.root)
		if err != nil {
			return err
		}
		bucket, _, err := r.bucket(top, entriesBucket)
		at = int64(binary.NativeEndian.Uint64(bucket)) * int64(b.state.pageSize)
		return err
	}); err != nil || at == 0 {
		t.Fatalf("the entries are at %d, %v", at, err)
	}
	if _, err := b.file.WriteAt([]byte{0xff, 0xff}, at+8); err != nil {
		t.Fatal(err)
	}
	if s, err := (&reader{file: b.file}).inspect(); s != nil || err == nil {
		t.Errorf("inspect = %v, %v of a file without its entries", s, err)
	}
}

// Whatever a small store's file has become, it is looked at without a panic.
func TestBoltInspectOfDamage(t *testing.T) {
	b := openInternal(t)
	at := int64(b.state.root) * int64(b.state.pageSize)
	page := make([]byte, 512)
	if err := readAt(b.file, page, at); err != nil {
		t.Fatal(err)
	}
	for i := range page {
		for bit := range 8 {
			octet := []byte{page[i] ^ 1<<bit}
			if _, err := b.file.WriteAt(octet, at+int64(i)); err != nil {
				t.Fatal(err)
			}
			s, err := (&reader{file: b.file}).inspect()
			if (s == nil) == (err == nil) {
				t.Errorf("bit %d of octet %d: %v, %v", bit, i, s, err)
			}
		}
		if _, err := b.file.WriteAt(page[i:i+1], at+int64(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFreelistHas(t *testing.T) {
	var l freelist
	for _, id := range []uint64{3, 5, 1 << 33} {
		l = binary.NativeEndian.AppendUint64(l, id)
	}
	for id, want := range map[uint64]bool{0: false, 2: false, 3: true, 4: false, 5: true, 6: false, 1 << 33: true, 1<<33 + 1: false} {
		if l.has(id) != want || freelist(nil).has(id) {
			t.Errorf("%d: %v, want %v", id, l.has(id), want)
		}
	}
}

// A page is compared with the element by which another refers to it, unless that is the
// one with which it has been compared before and both pages are held: a page that is read
// again may be damaged by then.
func TestReaderComparesWhatIsNotKnown(t *testing.T) {
	b := openInternal(t)
	for i := range 200 {
		key, value := fmt.Sprintf("%03d.%sexample", i, strings.Repeat("a-long-name.", 19)), make([]byte, 3<<10)
		if err := b.Put(context.Background(), key, value, time.Now(), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	flushNow(t, b)
	held := b.state.entries
	read, err := (&reader{file: b.file, state: b.state}).page(held.id)
	if err != nil {
		t.Fatal(err)
	}
	// with returns n after its element 2 has become one of another key and page.
	with := func(n node, key, page int) node {
		n.data = bytes.Clone(n.data)
		copy(n.key(2), n.key(key))
		binary.NativeEndian.PutUint64(n.data[pageHeader+2*elementSize+8:], n.child(page))
		return n
	}
	another := with(held, 3, 2)
	another.id++
	for _, tt := range []struct {
		name        string
		first, then node
		compared    bool
	}{
		{"held", held, with(held, 3, 2), false},
		{"first not held", read, with(held, 3, 2), true},
		{"then not held", held, with(read, 3, 2), true},
		{"another element", held, with(held, 2, 1), true},
		{"another page", held, another, true},
	} {
		r := &reader{file: b.file, branches: new(branches), state: b.state}
		for i := range 3 {
			if _, err := r.child(tt.first, i); err != nil || r.branches.get(tt.first.child(i), b.state.txid) == nil {
				t.Fatalf("%s: the page below is not held: %v", tt.name, err)
			}
		}
		_, err := r.child(tt.then, 2)
		if compared := err != nil; compared != tt.compared {
			t.Errorf("%s: compared = %v, %v", tt.name, compared, err)
		}
	}
}
