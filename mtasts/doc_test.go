package mtasts_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A guarantee that names a test which is gone would be worth nothing.
func TestTheTestsThatTheDocumentationNamesExist(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(doc), -1)
	if len(names) < 20 {
		t.Fatalf("doc.go names %d tests; is its table gone?", len(names))
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	for _, name := range names {
		if !strings.Contains(code.String(), "func "+name+"(t *testing.T)") {
			t.Errorf("doc.go names %s, which is no test of this package", name)
		}
	}
}

// The loop that a reader copies is the one that is tested.
func TestTheDocumentationHasTheLoopThatIsTested(t *testing.T) {
	code, err := os.ReadFile("example_delivery_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, loop, ok := strings.Cut(string(code), "\n)\n\n")
	if !ok {
		t.Fatal("no imports")
	}
	loop, _, ok = strings.Cut(loop, "\n// The delivery loop of a mail server that")
	if !ok {
		t.Fatal("no end")
	}
	for file, prefix := range map[string]string{"doc.go": "//\t", "../README.md": ""} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := prefix + strings.ReplaceAll(strings.TrimSpace(loop), "\n", "\n"+prefix)
		want = strings.ReplaceAll(want, "//\t\n", "//\n")
		if !strings.Contains(string(text), want) {
			t.Errorf("%s has another loop than example_delivery_test.go", file)
		}
	}
}
