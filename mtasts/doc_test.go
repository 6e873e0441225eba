package mtasts_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
)

// A guarantee is worth nothing if its test does not exist.
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

// The documentation shows the loop that the tests run.
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

// Each field of Stats has one line in the documentation, with the name of its metric by the
// conventions of Prometheus, and each line has a field.
func TestTheDocumentationNamesAMetricForEachFieldOfStats(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	metrics := make(map[string]string) // by field
	for _, line := range regexp.MustCompile(`(?m)^//\t(\w+) +(mtasts_\S+)  +\S.*$`).FindAllStringSubmatch(string(doc), -1) {
		if field := line[1]; metrics[field] != "" {
			t.Errorf("Stats.%s has two lines", field)
		}
		metrics[line[1]] = line[2]
	}
	wellFormed := regexp.MustCompile(`^(mtasts_[a-z_]+[a-z])(\{[a-z]+="[a-z]+"\})?$`)
	used := make(map[string]bool)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[mtasts.Stats]()) {
		metric := metrics[field.Name]
		delete(metrics, field.Name)
		name := wellFormed.FindStringSubmatch(metric)
		switch {
		case metric == "":
			t.Errorf("Stats.%s has no line", field.Name)
		case name == nil || used[metric]:
			t.Errorf("Stats.%s: the name %s is not well-formed, or is used twice", field.Name, metric)
		case strings.HasSuffix(name[1], "_total") != (field.Type.Kind() == reflect.Uint64):
			t.Errorf("Stats.%s: counters, of type uint64, and no others have names that end in _total, not %s", field.Name, metric)
		}
		used[metric] = true
	}
	for field := range metrics {
		t.Errorf("Stats has no field %s", field)
	}
}
