package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// many makes 50 domains, of which every fifth holds its mail back and every seventh cannot be
// asked about.
func (s *stage) many() (names []string) {
	for i := range 50 {
		name := fmt.Sprintf("d%02d.example", i)
		names = append(names, name)
		s.good(name)
		if i%5 == 0 {
			s.mx(name, mtaststest.MX{}, "mx.example.net")
		}
		if i%7 == 1 {
			s.DNS.Set("_mta-sts."+name, resolver.Records{Fail: resolver.ServFail})
		}
	}
	return names
}

func TestManyDomains(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		names := s.many()
		s.stdin = "# the list\n" + strings.Join(names, "\n") + "  # the last\n\n"
		golden(t, "many", s.session("-"))
		status, out, _ := s.lookup("-json", "-")
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if status != exitFindings || len(lines) != len(names) {
			t.Fatalf("exit status %d, %d lines, want %d, %d", status, len(lines), exitFindings, len(names))
		}
		for i, line := range lines {
			var r diagnose.Report
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.Domain != names[i] || r.Version != diagnose.Version {
				t.Errorf("line %d: %v, %s, version %d", i, err, r.Domain, r.Version)
			}
		}
	})
}

func TestBar(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		var out strings.Builder
		b := newBar(&screen{Writer: &out, terminal: true, width: 60}, 4)
		for range 4 {
			time.Sleep(time.Second)
			b.step("a\x1b[2J.example")
		}
		b.without(func() error { return nil })
		if got := strings.ReplaceAll(out.String(), "\r", "\n"); strings.Count(got, "\n[") != 5 || !strings.Contains(got, "] 4 of 4  a\\x1b[2J.example") || !strings.HasSuffix(got, "\n\x1b[K") {
			t.Errorf("%q", got)
		}
	})
	if newBar(&screen{}, 4) != nil || newBar(nil, 4) != nil {
		t.Error("a bar without a terminal")
	}
}

// No bar stays behind what was printed.
func TestBarIsCleared(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		for range 200 {
			var log bytes.Buffer
			p := &program{stdin: strings.NewReader(""), stdout: &screen{Writer: io.Discard, width: 80}, stderr: &screen{Writer: &log, width: 80},
				progress: &screen{Writer: &log, terminal: true, width: 80},
				network:  diagnose.Options{Resolver: s.DNS, Transport: s.Options().Transport, RootCAs: s.Roots(), Dial: s.Dial}}
			p.run(t.Context(), []string{"-json", "example.com", "a.example", "b.example"})
			if !strings.HasSuffix(log.String(), "\r\x1b[K") {
				t.Fatalf("%q", log.String())
			}
		}
	})
}

// Reports that wait for that of a slow domain are bounded.
func TestSlowFirstDomain(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		s.DNS.Set("_mta-sts.slow.example", resolver.Records{Delay: 10 * time.Second})
		q := &inquiry{opts: diagnose.Options{Resolver: s.DNS, Transport: s.Options().Transport, RootCAs: s.Roots()}}
		q.domains = append(q.domains, "slow.example")
		for i := range 5 * maxAhead {
			q.domains = append(q.domains, fmt.Sprintf("d%d.example", i))
		}
		var ended atomic.Int64
		var got []string
		for r := range q.reports(t.Context(), func(string) { ended.Add(1) }) {
			if n := ended.Load(); len(got) == 0 && n > 2*maxAhead {
				t.Errorf("%d reports before the first", n)
			}
			got = append(got, r.Domain)
		}
		if !slices.Equal(got, q.domains) {
			t.Errorf("%d reports, want %d in order", len(got), len(q.domains))
		}
	})
}

func TestInterrupted(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithCancel(s.context)
		cancel()
		s.context = ctx
		s.good("example.net")
		if status, out, _ := s.lookup("example.com", "example.net"); status != exitUnknown || strings.Contains(out, "example") {
			t.Errorf("exit status %d, want %d\n%s", status, exitUnknown, out)
		}
		if status, out, _ := s.lookup("-json", "example.com", "example.net"); status != exitUnknown || out != "" {
			t.Errorf("exit status %d, want %d\n%s", status, exitUnknown, out)
		}
	})
}

func TestALineThatIsTooLong(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		s.stdin = "example.com\n" + strings.Repeat("a", 1<<20)
		status, out, log := s.lookup("-")
		if status != exitUnknown || out != "" || log != "lookup: standard input: line 2 is too long for a domain\n" {
			t.Errorf("exit status %d\n%s%s", status, out, log)
		}
	})
}

// Nobody types: standard input does not end.
func TestInterruptedInput(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		for _, args := range []string{"-", "warm -db @/new.db -"} {
			r, w := io.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			s.context, s.input = ctx, r
			status, out, log := s.lookup(strings.Fields(args)...)
			if status != exitUnknown || out != "" || !strings.Contains(log, "interrupted") {
				t.Errorf("%s: exit status %d\n%s%s", args, status, out, log)
			}
			cancel()
			w.Close()
		}
	})
}
