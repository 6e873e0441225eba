package sts_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A vector is a file of testdata: "key: value" lines, an empty line, then the
// body. Every vector names a clause and the expected result. A note gives the reason
// where the clause is ambiguous.
type vector struct {
	name   string
	header map[string][]string
	body   string
}

var clause = regexp.MustCompile(`^RFC [0-9]+, Section [0-9]+(\.[0-9]+)*$`)

// readVectors returns the vectors of one kind. A malformed vector, one that names no
// clause, or a number below required fails the test, so that lost vectors are noticed.
func readVectors(tb testing.TB, kind string, required int, keys ...string) []vector {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", kind, "*.txt"))
	if err != nil {
		tb.Fatal(err)
	}
	if len(files) < required {
		tb.Fatalf("testdata/%s holds %d vectors, at least %d are required", kind, len(files), required)
	}
	keys = append(keys, "clause", "expect", "note")
	var vs []vector
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		head, body, ok := strings.Cut(string(text), "\n\n")
		if !ok {
			tb.Fatalf("%s: no empty line after the header", file)
		}
		v := vector{strings.TrimSuffix(filepath.Base(file), ".txt"), make(map[string][]string), body}
		for line := range strings.SplitSeq(head, "\n") {
			key, value, ok := strings.Cut(line, ": ")
			if !ok || !slices.Contains(keys, key) {
				tb.Fatalf("%s: malformed header line %q", file, line)
			}
			v.header[key] = append(v.header[key], value)
		}
		if !clause.MatchString(v.get("clause")) || v.get("expect") == "" {
			tb.Fatalf("%s: the header must name one clause and one expectation", file)
		}
		vs = append(vs, v)
	}
	return vs
}

// get returns the value of a key that occurs once, or "".
func (v vector) get(key string) string {
	if len(v.header[key]) != 1 {
		return ""
	}
	return v.header[key][0]
}

// number returns the decimal value of a key, or 0 if the key is absent.
func (v vector) number(tb testing.TB, key string) int {
	tb.Helper()
	if v.header[key] == nil {
		return 0
	}
	n, err := strconv.Atoi(v.get(key))
	if err != nil {
		tb.Fatalf("%s: %s: %v", v.name, key, err)
	}
	return n
}

func recordVectors(tb testing.TB) []vector { return readVectors(tb, "record", 80, "error") }

func policyVectors(tb testing.TB) []vector {
	return readVectors(tb, "policy", 120, "error", "mode", "max_age", "mx", "mx-count", "odd",
		"repeat-first-line", "repeat-last-line", "pad-to", "pad-with")
}

func matchVectors(tb testing.TB) []vector { return readVectors(tb, "match", 60) }

// maxSeed bounds the seeds of a fuzz target, which would spend all its time on making
// large inputs smaller. The vectors include large inputs.
const maxSeed = 2048

// unquote parses a line of Go strings, each optionally repeated: "ab" "c"*63. They are
// the character-strings of one TXT record, which it joins (RFC 8461, Section 3.1), or the
// parts of one long name.
func unquote(tb testing.TB, line string) string {
	tb.Helper()
	var b strings.Builder
	for rest := line; rest != ""; {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			tb.Fatalf("not a line of Go strings: %s", line)
		}
		s, err := strconv.Unquote(quoted)
		if err != nil {
			tb.Fatalf("not a Go string: %s", quoted)
		}
		word, next, _ := strings.Cut(rest[len(quoted):], " ")
		n := 1
		if word != "" {
			if n, err = strconv.Atoi(strings.TrimPrefix(word, "*")); err != nil || word[0] != '*' {
				tb.Fatalf("not a number of repetitions: %q", word)
			}
		}
		b.WriteString(strings.Repeat(s, n))
		rest = next
	}
	return b.String()
}

// lines returns the lines of a body, each of which must end in LF.
func (v vector) lines(tb testing.TB) []string {
	tb.Helper()
	if v.body == "" {
		return nil
	}
	if !strings.HasSuffix(v.body, "\n") {
		tb.Fatalf("%s: the last line lacks its LF", v.name)
	}
	return strings.Split(strings.TrimSuffix(v.body, "\n"), "\n")
}

// records returns the TXT records of a record vector, one on each line.
func (v vector) records(tb testing.TB) (txts []string) {
	for _, line := range v.lines(tb) {
		txts = append(txts, unquote(tb, line))
	}
	return txts
}

// policy returns the octets of a policy vector. The header describes large files:
// repeat-first-line and repeat-last-line give the number of times that this line of the
// body occurs; pad-to gives the size to which the body is filled with pad-with.
func (v vector) policy(tb testing.TB) string {
	text := v.body
	if n := v.number(tb, "repeat-first-line"); n > 0 {
		first := text[:strings.IndexByte(text, '\n')+1]
		text = strings.Repeat(first, n-1) + text
	}
	if n := v.number(tb, "repeat-last-line"); n > 0 {
		last := text[strings.LastIndexByte(text[:len(text)-1], '\n')+1:]
		text += strings.Repeat(last, n-1)
	}
	if n := v.number(tb, "pad-to"); n > 0 {
		with := v.get("pad-with")
		if with == "" {
			with = "x"
		}
		text += strings.Repeat(with, n-len(text))
	}
	return text
}

// mx returns the host and the mx values of a match vector.
func (v vector) mx(tb testing.TB) (host string, values []string) {
	lines := v.lines(tb)
	if len(lines) == 0 {
		tb.Fatalf("%s: no host", v.name)
	}
	return unquote(tb, lines[0]), lines[1:]
}
