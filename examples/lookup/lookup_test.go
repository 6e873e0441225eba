package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

// Text, JSON, table and exit status say the same of a domain.
func TestViewsAgree(t *testing.T) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *stage) {
				w.set(s)
				args := strings.Split(w.args, " ")
				inText, text, _ := s.lookup(args...)
				inJSON, line, _ := s.lookup(append(args, "-json")...)
				var r diagnose.Report
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				want := map[diagnose.Status]int{"fine": 0, "findings": 1, "could-not-tell": 2}[r.Verdict.Status]
				if inText != want || inJSON != want {
					t.Errorf("exit status %d for text, %d for JSON, want %d", inText, inJSON, want)
				}
				flat := strings.Join(strings.Fields(text), " ")
				at := 0
				for _, f := range r.Findings {
					i := strings.Index(flat[at:], severities[f.Severity].word+": "+f.Title)
					if i < 0 {
						t.Fatalf("%s is not in the text, or not in order:\n%s", f.Title, text)
					}
					at += i
				}
				if !strings.Contains(flat, r.Verdict.Title) {
					t.Errorf("%s is not in the text", r.Verdict.Title)
				}
				_, table, _ := s.lookup(append(args, "example.net")...)
				if row := strings.Split(table, "\n")[1]; !strings.Contains(row, string(r.Verdict.Status)) {
					t.Errorf("%s, want %s", row, r.Verdict.Status)
				}
			})
		})
	}
}

// Each finding that there is can be read at each width.
func TestEveryFinding(t *testing.T) {
	for _, width := range []int{40, 80, 120} {
		for _, f := range diagnose.Catalogue() {
			f.Evidence = []diagnose.Evidence{{Label: "line 3", Text: strings.Repeat("x", 150), Column: 130}}
			p := &page{screen: &screen{width: width}, width: width}
			p.finding(&f, false)
			flat := strings.Join(strings.Fields(p.String()), " ")
			for _, part := range []string{severities[f.Severity].word + ": " + f.Title, f.Text, "effect " + f.Effect, "mend " + f.Mend, f.Clause, "(" + string(f.Code) + ")"} {
				if !strings.Contains(flat, part) {
					t.Errorf("%d columns: %q is not in\n%s", width, part, p)
				}
			}
			for line := range strings.Lines(p.String()) {
				if len(line)-1 > width {
					t.Errorf("%d of %d columns: %s", len(line)-1, width, line)
				}
			}
		}
	}
}

// The caret is below the column, in whichever piece of the line that is.
func TestCaret(t *testing.T) {
	text := "0123456789012345678901234567890123456789"
	for column := 1; column <= len(text)+1; column++ {
		p := &page{screen: &screen{}, width: 30}
		p.evidence("label ", text, column)
		got := strings.Split(strings.TrimSuffix(p.String(), "\n"), "\n")
		carets := 0
		for i, line := range got {
			if at := strings.IndexByte(line, '^'); at >= 0 {
				carets++
				if column <= len(text) && got[i-1][at] != text[column-1] {
					t.Errorf("column %d:\n%s", column, p)
				}
			}
		}
		if carets != 1 {
			t.Errorf("column %d: %d carets\n%s", column, carets, p)
		}
	}
}

func TestColour(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		_, plain, _ := s.lookup("example.com")
		s.colour = true
		_, coloured, _ := s.lookup("example.com")
		if plain == coloured || regexp.MustCompile(`\x1b\[\d*m`).ReplaceAllString(coloured, "") != plain {
			t.Errorf("colours change the text:\n%s\n%s", plain, coloured)
		}
	})
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if s := newScreen(file, func(string) string { return "" }); s.colour || s.terminal || s.width != 80 {
		t.Errorf("a file is the screen %+v", s)
	}
	if s := newScreen(file, func(name string) string { return map[string]string{"COLUMNS": "120"}[name] }); s.width != 120 {
		t.Errorf("width %d, want 120", s.width)
	}
}

// A wrong command line is refused before anything is asked or made.
func TestUsage(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		empty := filepath.Join(s.dir, "empty")
		if err := os.WriteFile(empty, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range []string{
			"", "-nonsense example.com", "example.com -nonsense", "-json=maybe example.com", "-dns localhost example.com",
			"-allow 192.0.2.1 example.com", "-roots @/empty example.com", "-db", "-demo example.com",
			"cached", "cached -json -db @/new.db", "forget -db @/new.db", "forget example.com",
			"check", "check a b", "check -db @/new.db", "warm list", "warm -db @/new.db", "warm -db @/new.db -probe list",
		} {
			status, out, log := s.lookup(strings.Fields(args)...)
			if status != exitUsage || out != "" || !strings.HasPrefix(log, "lookup: ") || !strings.HasSuffix(log, "Try 'lookup -h'.\n") {
				t.Errorf("%q: exit status %d, want %d\n%s%s", args, status, exitUsage, out, log)
			}
		}
		if n := s.DNS.Queries("_mta-sts.example.com"); n != 0 {
			t.Errorf("%d look-ups were made", n)
		}
		if _, err := os.Stat(filepath.Join(s.dir, "new.db")); err == nil {
			t.Error("a store was made")
		}
	})
}

// flags are all flags of all commands.
func flags(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, command := range commands {
		set := flag.NewFlagSet("", flag.ContinueOnError)
		command.flags(set, new(config))
		set.VisitAll(func(f *flag.Flag) {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		})
	}
	slices.Sort(names)
	if len(names) < 8 {
		t.Fatalf("found the flags %q alone", names)
	}
	return names
}

func TestHelpHasEachFlag(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		status, help, _ := s.lookup("warm", "-h")
		if status != exitFine {
			t.Errorf("exit status %d", status)
		}
		manual, err := os.ReadFile("lookup.1")
		if err != nil {
			t.Fatal(err)
		}
		readme, err := os.ReadFile("README.md")
		if err != nil {
			t.Fatal(err)
		}
		for command := range commands {
			if !strings.Contains(help, "\n       lookup "+command) || !strings.Contains(string(manual), command) {
				t.Errorf("the command %q is missing in the help or the manual", command)
			}
		}
		documented := regexp.MustCompile(`(?m)^  -([a-z]+)`).FindAllStringSubmatch(help, -1)
		inManual := regexp.MustCompile(`(?m)^\.It Fl ([a-z]+)`).FindAllStringSubmatch(string(manual), -1)
		for place, found := range map[string][][]string{"the help": documented, "the manual": inManual} {
			var names []string
			for _, match := range found {
				if match[1] != "h" {
					names = append(names, match[1])
				}
			}
			slices.Sort(names)
			if want := flags(t); !slices.Equal(names, want) {
				t.Errorf("%s has the flags %q, want %q", place, names, want)
			}
		}
		for line := range strings.Lines(help) {
			if len(line) > 81 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
		for _, status := range []int{exitFine, exitFindings, exitUnknown, exitUsage} {
			if !strings.Contains(string(readme), fmt.Sprintf("\n| %d |", status)) || !strings.Contains(string(manual), fmt.Sprintf("\n.It %d\n", status)) {
				t.Errorf("exit status %d is not in the README or the manual", status)
			}
		}
	})
}

// The README has each member of the JSON form, and the manual those at the top.
func TestSchemaIsDocumented(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("lookup.1")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[reflect.Type]bool)
	var members func(reflect.Type)
	members = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() != reflect.TypeFor[diagnose.Report]().PkgPath() || seen[typ] {
			return
		}
		seen[typ] = true
		for field := range typ.Fields() {
			name := field.Tag.Get("json")
			if !strings.Contains(string(readme), "`"+name+"`") {
				t.Errorf("README.md lacks %s of %s", name, typ.Name())
			}
			if typ == reflect.TypeFor[diagnose.Report]() && !strings.Contains(string(manual), "\n.It Cm "+name+"\n") {
				t.Errorf("lookup.1 lacks %s", name)
			}
			members(field.Type)
		}
	}
	members(reflect.TypeFor[diagnose.Report]())
}

func TestDemo(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		golden(t, "demo", s.session("-demo"))
		status, out, _ := s.lookup("-demo", "-json")
		if status != exitFindings || strings.Count(out, "\n") != 3 {
			t.Errorf("exit status %d\n%s", status, out)
		}
	})
}

func TestPrintable(t *testing.T) {
	if got, want := cli.Printable("a\x1b[2J\r\nb\u202e\xff\\x1b"), `a\x1b[2J\r; b\u202e\ufffd\x1b`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
