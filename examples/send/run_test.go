package main

import (
	"encoding/json"
	"errors"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts"
)

// command runs the program without a DNS server.
func command(t *testing.T, args ...string) (status int, stderr string) {
	t.Helper()
	var out, log strings.Builder
	defaults := []string{"-dns", "127.0.0.1:1", "-db", filepath.Join(t.TempDir(), "send.db"), "-helo", "sender.example"}
	status = run(t.Context(), append(defaults, args...), strings.NewReader("Subject: test\n\nHello.\n"), &out, &log)
	return status, log.String()
}

func TestUsage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{},
		{"-from", "a@sender.example"},
		{"-to", "b@example.com"},
		{"-from", "a@sender.example", "-to", "example.com"},
		{"-from", "a@sender.example", "-to", "b@example.com> SIZE=1"},
		{"-from", "a@sender.example", "-to", "B <b@example.com>"},
		{"-from", "a@sender.example", "-to", "b@[192.0.2.1]"},
		{"-from", "a@sender.example", "-to", "b@b\u00fccher.example"},
		{"-from", "a@sender.example", "-to", "b@example.com", "message.txt"},
		{"-from", "a@sender.example", "-to", "b@example.com", "-dns", "localhost"},
		{"-from", "a@sender.example", "-to", "b@example.com", "-allow", "192.0.2.1"},
		{"-from", "a@sender.example", "-to", "b@example.com", "-port", "65536"},
		{"-from", "a@sender.example", "-to", "b@example.com", "-roots", empty},
		{"-from", "a@sender.example", "-to", "b@example.com", "-unknown"},
	} {
		if status, stderr := command(t, args...); status != exitUsage || stderr == "" {
			t.Errorf("%q: exit status %d, want %d; stderr: %s", args, status, exitUsage, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	status, stderr := command(t, "-h")
	if status != 0 || !strings.Contains(stderr, "-report") {
		t.Errorf("exit status %d, want 0; stderr: %s", status, stderr)
	}
	for line := range strings.Lines(stderr) {
		if width := len(strings.ReplaceAll(line, "    \t", "        ")) - 1; width > 80 {
			t.Errorf("%d columns: %s", width, line)
		}
	}
}

// An error that may be temporary defers the message.
func TestDeferred(t *testing.T) {
	for name, args := range map[string][]string{
		"DNS is down":           nil,
		"file cannot be opened": {"-db", filepath.Join(t.TempDir(), "missing", "send.db")},
	} {
		t.Run(name, func(t *testing.T) {
			args = append(args, "-from", "a@sender.example", "-to", "b@example.com")
			status, stderr := command(t, args...)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if last := lines[len(lines)-1]; status != exitDeferred || !strings.HasPrefix(last, "deferred: ") {
				t.Errorf("exit status %d, last line %q, want %d", status, last, exitDeferred)
			}
		})
	}
}

// Untrusted text stays on one line and cannot control the terminal. It is escaped once, also if
// package mtasts has escaped it before.
func TestPrintable(t *testing.T) {
	reply := &textproto.Error{Code: 550, Msg: "\x1b[2J \u202eno"}
	held := &mtasts.Error{Domain: "example.com", Err: reply}
	for err, want := range map[error]string{
		reply: `550 "\x1b[2J \u202eno"`,
		held:  `mtasts: example.com: 550 "\x1b[2J \u202eno"`,
	} {
		if got := cli.Printable(err.Error()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	got := cli.Printable("550 \x1b[2J\r\nmx: \u202eno \"user\"" + strings.Repeat("x", 5000))
	if want := `550 \x1b[2J\r; mx: \u202eno "user"xxx`; !strings.HasPrefix(got, want) || len(got) > cli.MaxLine+10 {
		t.Errorf("%s (%d bytes), want %s...", got, len(got), want)
	}
}

func TestReporter(t *testing.T) {
	var out strings.Builder
	report := reporter(&out)
	policy := &mtasts.Policy{Domain: "example.com", Mode: mtasts.ModeTesting, ID: "1"}
	report(mtasts.Event{Kind: mtasts.EventSession, Domain: "example.com", Policy: policy, MX: "mx.example.com"})
	report(mtasts.Event{Kind: mtasts.EventPolicy, Domain: "example.com", Result: mtasts.ResultPolicyInvalid,
		Reason: "policy-invalid", Err: errors.New("line\none")})

	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2: %s", len(lines), &out)
	}
	for i, want := range []event{
		{Kind: "session", Domain: "example.com", Mode: "testing", ID: "1", MX: "mx.example.com"},
		{Kind: "policy", Domain: "example.com", Result: "sts-policy-invalid", Reason: "policy-invalid", Error: "line\none"},
	} {
		var got event
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil || got != want {
			t.Errorf("line %d: %+v, %v, want %+v", i, got, err, want)
		}
	}
}
