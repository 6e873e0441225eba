package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mtasts/go-mtasts"

// floors gives the floor of each directory. A directory includes its subdirectories,
// except those that have an entry of their own.
var floors = map[string]int{
	"internal/sts":       0,
	"internal/fetch":     0,
	"internal/certcheck": 0,
	"internal/testpki":   0,
	"internal/leak":      0,
	"internal/testcost":  0,
	"internal/layers":    0,
	"resolver":           0,
	"cache":              0,
	"mtasts":             1,
	"mtasts/mtaststest":  2,
	"mtasts/tlsrpt":      2,
	"mtasts/diagnose":    3,
	"examples":           4,
	"internal/e2e":       4,
	"internal/soak":      4,
}

// forbidden are the packages that a package must not import, not even indirectly, and
// why.
var forbidden = []struct{ from, to, why string }{
	{"internal/sts", "net", "parsing must stay free of I/O, so that its tests and fuzzing mean something"},
	{"internal/sts", "net/http", "parsing must stay free of I/O"},
	{"internal/sts", "crypto/tls", "parsing must stay free of I/O"},
	{"cache", "net/http", "a store of bytes needs no network, and its users should not link one"},
	{"cache", "golang.org/x/net/idna", "a store knows no names, only keys"},
	{"resolver", "go.etcd.io/bbolt", "a user of the resolver alone should not link a database"},
	{"resolver", "net/http", "DNS needs no HTTP"},
	{"internal/certcheck", "net/http", "judging a certificate needs no HTTP"},
	{"mtasts", "testing", "test code must not be linked into a mail server"},
	{"mtasts", "net/smtp", "sending is the mail server's part"},
}

// internalUsers are the directories that may import from internal. Users of the module
// could have written the others.
var internalUsers = []string{"mtasts", "mtasts/mtaststest", "mtasts/tlsrpt", "mtasts/diagnose", "internal/"}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"/...").Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	return pkgs
}

// directory returns the entry of floors that includes a package.
func directory(importPath string) (string, bool) {
	rel, ours := strings.CutPrefix(importPath, module+"/")
	if !ours {
		return "", false
	}
	best := ""
	for dir := range floors {
		if (rel == dir || strings.HasPrefix(rel, dir+"/")) && len(dir) > len(best) {
			best = dir
		}
	}
	return best, true
}

func TestImportsPointDown(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range list(t) {
		from, _ := directory(p.ImportPath)
		if from == "" {
			t.Errorf("%s is on no floor: add it to floors, or move it", p.ImportPath)
			continue
		}
		seen[from] = true
		for _, imported := range p.Imports {
			to, ours := directory(imported)
			if !ours || to == from {
				continue
			}
			if floors[to] >= floors[from] {
				t.Errorf("%s (floor %d) imports %s (floor %d); imports point down only", p.ImportPath, floors[from], imported, floors[to])
			}
			internal := strings.HasPrefix(to, "internal/")
			allowed := slices.ContainsFunc(internalUsers, func(u string) bool { return from == u || strings.HasSuffix(u, "/") && strings.HasPrefix(from, u) })
			if internal && !allowed {
				t.Errorf("%s imports %s, which a user could not: export what it needs, or add it to internalUsers", p.ImportPath, imported)
			}
		}
	}
	for dir := range floors {
		if !seen[dir] && dir != "internal/e2e" {
			t.Errorf("there is no package in %s: remove it from floors", dir)
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	matched := make(map[string]bool)
	for _, p := range list(t) {
		for _, rule := range forbidden {
			if p.ImportPath != module+"/"+rule.from {
				continue
			}
			matched[rule.from] = true
			if slices.Contains(p.Deps, rule.to) {
				t.Errorf("%s reaches %s: %s", rule.from, rule.to, rule.why)
			}
		}
	}
	for _, rule := range forbidden {
		if !matched[rule.from] {
			t.Errorf("there is no package %s: remove it from forbidden", rule.from)
		}
	}
}
