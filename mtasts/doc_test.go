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
