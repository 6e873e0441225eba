package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadNetstring(t *testing.T) {
	long := strings.Repeat("a", maxQuery)
	for input, want := range map[string]struct {
		text string
		err  error
	}{
		"19:mta-sts example.com,":  {"mta-sts example.com", nil},
		"0:,":                      {"", nil},
		"1024:" + long + ",":       {long, nil},
		"":                         {"", io.EOF},
		"1":                        {"", io.ErrUnexpectedEOF},
		"3:ab":                     {"", io.ErrUnexpectedEOF},
		"3:abc":                    {"", io.ErrUnexpectedEOF},
		"3:abcd,":                  {"", errNotQuery},
		"1025:" + long + "a,":      {"", errNotQuery},
		"1000000000:":              {"", errNotQuery}, // refused without a wait for it
		"9999999999999999999999:a": {"", errNotQuery},
		"03:abc,":                  {"", errNotQuery},
		":,":                       {"", errNotQuery},
		"-1:,":                     {"", errNotQuery},
		"GET / HTTP/1.1\r\n":       {"", errNotQuery},
	} {
		got, err := readNetstring(bufio.NewReader(strings.NewReader(input)))
		if got != want.text || !errors.Is(err, want.err) {
			t.Errorf("%.40q: %.40q, %v; want %.40q, %v", input, got, err, want.text, want.err)
		}
	}
}

// What is read is what was written, and nothing beyond it is.
func FuzzNetstring(f *testing.F) {
	f.Add([]byte("19:mta-sts example.com,"))
	f.Add([]byte("0:,"))
	f.Add([]byte("1000000000:"))
	f.Fuzz(func(t *testing.T, input []byte) {
		r := bufio.NewReader(bytes.NewReader(input))
		var again bytes.Buffer
		w := bufio.NewWriter(&again)
		for {
			text, err := readNetstring(r)
			if err != nil {
				break
			}
			if len(text) > maxQuery {
				t.Fatalf("%d octets", len(text))
			}
			writeNetstring(w, []byte(text))
		}
		w.Flush()
		if !bytes.HasPrefix(input, again.Bytes()) {
			t.Errorf("%q read as %q", input, again.Bytes())
		}
	})
}
