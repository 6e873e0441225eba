package mtasts

import (
	"fmt"
	"hash/maphash"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
	"weak"
)

// Domains with the same policy file share it in memory, for as long as one has it.
func TestEqualPolicyFilesAreShared(t *testing.T) {
	const text = "version: STSv1\nmode: enforce\nmx: mx.example.net\nmax_age: 604800\n"
	files := newSharedFiles()
	policy := func(domain, text string) *Policy {
		file, err := files.parse(strings.Clone(text))
		if err != nil {
			t.Fatal(err)
		}
		return newPolicy(domain, "1", file, time.Now())
	}
	a, b := policy("example.com", text), policy("example.org", text)
	if a.Text != text || unsafe.StringData(a.Text) != unsafe.StringData(b.Text) {
		t.Errorf("the text is there twice: %q, %q", a.Text, b.Text)
	}
	if a.MX[0] != "mx.example.net" || &a.MX[0] != &b.MX[0] {
		t.Errorf("the patterns are there twice: %q, %q", a.MX, b.MX)
	}
	if a.Mode != ModeEnforce || unsafe.StringData(string(a.Mode)) != unsafe.StringData(string(b.Mode)) {
		t.Errorf("the mode is part of two texts: %q, %q", a.Mode, b.Mode)
	}
	other := policy("example.net", text+"x: y\n")
	if other.Text != text+"x: y\n" || len(files.files) != 2 {
		t.Errorf("another file is %q, and %d files are held", other.Text, len(files.files))
	}

	if _, err := files.parse("version: STSv2\n"); err == nil || len(files.files) != 2 {
		t.Errorf("no policy: %v, and %d files are held", err, len(files.files))
	}
	for hash := range files.files {
		files.forget(hash) // as for a file before, of the same text
	}
	if len(files.files) != 2 {
		t.Errorf("%d files are held for two", len(files.files))
	}

	runtime.KeepAlive(a)
	for held, tries := 2, 0; held != 1; tries++ { // of other, which is still in use
		if tries == 1000 {
			t.Fatalf("%d files are held for one policy", held)
		}
		runtime.GC()
		files.mu.Lock()
		held = len(files.files)
		files.mu.Unlock()
	}
	if p := policy("example.com", text); p.Text != text || len(p.MX) != 1 {
		t.Errorf("a file that comes back is %q", p.Text)
	}
	runtime.KeepAlive(other)
}

// Another file with the hash of one that is held is not taken for it.
func TestPolicyFilesOfOneHashAreNotShared(t *testing.T) {
	const enforce = "version: STSv1\nmode: enforce\nmx: mx.example.net\nmax_age: 604800\n"
	const none = "version: STSv1\nmode: none\nmax_age: 604800\n"
	files := newSharedFiles()
	held, err := files.parse(none)
	if err != nil {
		t.Fatal(err)
	}
	files.files[maphash.String(files.seed, enforce)] = weak.Make(held)
	for range 2 {
		if file, err := files.parse(enforce); err != nil || Mode(file.Mode) != ModeEnforce || file.text != enforce {
			t.Errorf("%+v, %v", file, err)
		}
	}
	if again, _ := files.parse(none); again != held {
		t.Error("the one that is held is no longer")
	}
}

// Under the race detector.
func TestPolicyFilesAreSharedConcurrently(t *testing.T) {
	files := newSharedFiles()
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for i := range 1000 {
				text := fmt.Sprintf("version: STSv1\nmode: enforce\nmx: mx%d.example.net\nmax_age: 1\n", i%10)
				if file, err := files.parse(text); err != nil || file.text != text {
					t.Errorf("%+v, %v", file, err)
				}
			}
		})
	}
	readers.Wait()
}

// Times that do not fit are the nearest that do.
func TestAtomicSeconds(t *testing.T) {
	for _, c := range []struct{ in, want int64 }{
		{time.Time{}.Unix(), 0}, {-1, 0}, {0, 0}, {1, 1}, {1<<32 - 1, 1<<32 - 1}, {1 << 32, 1<<32 - 1}, {1 << 40, 1<<32 - 1},
	} {
		var s atomicSeconds
		s.Store(time.Unix(c.in, 999))
		if got := s.Load().Unix(); got != c.want {
			t.Errorf("%d is %d, want %d", c.in, got, c.want)
		}
	}
}

// A client that nobody has any more leaves memory, and what it shared leaves with it.
func TestAClientThatIsGoneIsForgotten(t *testing.T) {
	gone := make(chan struct{})
	func() {
		domains, _ := benchDomains(10)
		c := benchClient(t, domains, true)
		runtime.AddCleanup(c, func(gone chan struct{}) { close(gone) }, gone)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	for tries := 0; ; tries++ {
		runtime.GC()
		select {
		case <-gone:
			return
		default:
		}
		if tries == 1000 {
			t.Fatal("it is still there")
		}
	}
}
