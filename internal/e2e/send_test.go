//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/leak"
	"github.com/mtasts/go-mtasts/mtasts"
)

// sendProgram is examples/send, built before the tests.
var sendProgram string

func TestMain(m *testing.M) { os.Exit(runWithSendProgram(m)) }

func runWithSendProgram(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mtasts-e2e-send-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	sendProgram = filepath.Join(dir, "send")
	// As root, git may refuse to read a checkout of another user.
	build := exec.Command("go", "build", "-buildvcs=false", "-o", sendProgram, "../../examples/send")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building examples/send:", err)
		return 1
	}
	return leak.Run(m)
}

// The exit status of examples/send.
const (
	statusDelivered = 0
	statusDeferred  = 75
)

// A sender runs examples/send, a process for each message. All processes share a store.
type sender struct {
	*world
	db    string
	dns   string   // host:port
	allow []string // networks
}

// sender returns a sender with an empty store.
func (w *world) sender(t *testing.T) *sender {
	return &sender{
		world: w,
		db:    filepath.Join(t.TempDir(), "policies.db"),
		dns:   w.dns.addr,
		allow: []string{w.net.String()},
	}
}

// An attempt is one run of examples/send.
type attempt struct {
	*world
	to      string
	status  int      // exit status
	reports []report // standard output
	log     string   // standard error
}

// A report is an event, as examples/send writes it.
type report struct {
	Kind   mtasts.EventKind
	Domain string
	Mode   mtasts.Mode // of the policy that was applied
	ID     string      // likewise
	MX     string
	Result mtasts.Result // "" for success
	Reason string
	Error  string
}

// send runs examples/send with a message for an address. Use each address once: it identifies
// the message.
func (s *sender) send(t *testing.T, to string) *attempt {
	t.Helper()
	args := []string{"-from", "sender@sender.example", "-to", to,
		"-dns", s.dns, "-roots", s.roots, "-db", s.db, "-report"}
	if s.allow != nil {
		args = append(args, "-allow", strings.Join(s.allow, ","))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, sendProgram, args...)
	cmd.Stdin = strings.NewReader("Subject: hello\n\nGood morning, " + to + ".\n")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("send to %s: %v\n%s", to, err, &stderr)
	}
	a := &attempt{world: s.world, to: to, status: cmd.ProcessState.ExitCode(), log: stderr.String()}
	for lines := json.NewDecoder(&stdout); lines.More(); {
		var r report
		if err := lines.Decode(&r); err != nil {
			t.Fatalf("send to %s: standard output: %v", to, err)
		}
		a.reports = append(a.reports, r)
	}
	return a
}

// delivered asserts that the message is in the mailbox and that mx received it, over this
// version of TLS or, if that is "", without TLS.
func (a *attempt) delivered(t *testing.T, mx, tls string) *attempt {
	t.Helper()
	if a.status != statusDelivered {
		t.Errorf("exit status %d, want %d:\n%s", a.status, statusDelivered, a.log)
	}
	switch got := a.mta.mailbox(t, a.to); {
	case len(got) != 1:
		t.Errorf("%d messages for %s, want one:\n%s", len(got), a.to, a.log)
	case got[0].by != mx || got[0].tls != tls:
		t.Errorf("%s came by %s over %q, want by %s over %q:\n%s", a.to, got[0].by, got[0].tls, mx, tls, a.log)
	case !strings.HasSuffix(got[0].text, "\n\nGood morning, "+a.to+".\n"):
		t.Errorf("%s: another message has arrived:\n%s", a.to, got[0].text)
	}
	return a
}

// deferred asserts that the message is to be tried again later and that no server has it.
func (a *attempt) deferred(t *testing.T) *attempt {
	t.Helper()
	if a.status != statusDeferred {
		t.Errorf("exit status %d, want %d:\n%s", a.status, statusDeferred, a.log)
	}
	if got := a.mta.mailbox(t, a.to); len(got) != 0 {
		t.Errorf("%s was delivered to %s over %q:\n%s", a.to, got[0].by, got[0].tls, a.log)
	}
	return a
}

// sessions asserts that the reports about sessions are these and no others.
func (a *attempt) sessions(t *testing.T, want ...report) *attempt {
	t.Helper()
	var got []report
	for _, r := range a.reports {
		if r.Kind == mtasts.EventSession {
			got = append(got, r.brief())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("reported sessions\n  %+v, want\n  %+v:\n%s", got, want, a.log)
	}
	return a
}

// policyTrouble asserts that the reports about the policy are want and no others.
func (a *attempt) policyTrouble(t *testing.T, want report) *attempt {
	t.Helper()
	var got []report
	for _, r := range a.reports {
		if r.Kind == mtasts.EventPolicy {
			got = append(got, r.brief())
		}
	}
	if got = slices.Compact(got); !slices.Equal(got, []report{want}) {
		t.Errorf("reported about the policy\n  %+v, want\n  %+v:\n%s", got, want, a.log)
	}
	return a
}

// brief is r without the text of the error.
func (r report) brief() report {
	r.Error = ""
	return r
}

// under begins a report about a domain that has a policy.
func under(domain string, mode mtasts.Mode, id string) report {
	return report{Domain: domain, Mode: mode, ID: id}
}

// session is r about a session with mx: a failure, or with "" success.
func (r report) session(mx string, result mtasts.Result, reason string) report {
	r.Kind, r.MX, r.Result, r.Reason = mtasts.EventSession, mx, result, reason
	return r
}

// policy is r about a policy that could not be fetched.
func (r report) policy(result mtasts.Result, reason string) report {
	r.Kind, r.Result, r.Reason = mtasts.EventPolicy, result, reason
	return r
}
