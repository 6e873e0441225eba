package mtasts

import (
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// Domains with the same policy file share it in memory, for as long as one has it.
func TestEqualPolicyFilesAreShared(t *testing.T) {
	const text = "version: STSv1\nmode: enforce\nmx: mx.example.net\nmax_age: 604800\n"
	var files sharedFiles
	policy := func(domain, text string) *Policy {
		p, _, err := newPolicy(domain, "1", strings.Clone(text), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		files.share(p)
		return p
	}
	a, b := policy("example.com", text), policy("example.org", text)
	if a.Text != text || unsafe.StringData(a.Text) != unsafe.StringData(b.Text) {
		t.Errorf("the text is there twice: %q, %q", a.Text, b.Text)
	}
	if a.MX[0] != "mx.example.net" || &a.MX[0] != &b.MX[0] {
		t.Errorf("the patterns are there twice: %q, %q", a.MX, b.MX)
	}
	other := policy("example.net", text+"x: y\n")
	if other.Text != text+"x: y\n" || len(files.files) != 2 {
		t.Errorf("another file is %q, and %d files are held", other.Text, len(files.files))
	}

	runtime.KeepAlive(a)
	gone := time.Now().Add(10 * time.Second)
	for held := 2; held != 1; { // of other, which is still in use
		if time.Now().After(gone) {
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
