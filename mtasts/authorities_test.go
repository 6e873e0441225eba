package mtasts_test

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// Without CA certificates, this machine is to blame, and no publisher. Go reads them once, so
// the test runs itself in a new process.
func TestAMachineWithoutAuthoritiesBlamesNoPublisher(t *testing.T) {
	const inside = "MTASTS_TEST_NO_AUTHORITIES"
	if os.Getenv(inside) == "" {
		nowhere := filepath.Join(t.TempDir(), "nowhere")
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1", "SSL_CERT_FILE="+nowhere, "SSL_CERT_DIR="+nowhere)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	play(t, func(t *testing.T, e *env) {
		var log strings.Builder
		e.opts.RootCAs, e.opts.Logger = nil, slog.New(slog.NewTextHandler(&log, nil))
		e.restart()
		e.publish("1", "mx.example.com")
		e.Publish("example.net", "1", mtaststest.Policy(mtasts.ModeEnforce, week, "mx.example.net"))
		check := func(err error) {
			t.Helper()
			failure, ok := err.(*mtasts.Error)
			if !ok || failure.Result != mtasts.ResultValidationFailure || failure.Reason != mtasts.ReasonNoAuthorities {
				t.Fatalf("error is %#v", err)
			}
			if failure.EnhancedCode() != "4.3.5" || !strings.Contains(err.Error(), "no-certificate-authorities") {
				t.Errorf("%s: %v", failure.EnhancedCode(), err)
			}
		}
		check(e.policy().Cause)
		check(e.policyFor("example.net").Cause)
		e.AddMX("mx.example.com", mtaststest.MX{})
		p := &mtasts.Policy{Domain: domain, Mode: mtasts.ModeEnforce, MX: []string{"mx.example.com"}}
		check(e.deliver(p, "mx.example.com", nil))
		if n := len(e.events(mtasts.EventSystem)); n != 1 {
			t.Errorf("%d events about this machine, want one", n)
		}
		if n := strings.Count(log.String(), "no CA certificates"); n != 1 {
			t.Errorf("%d lines in the log:\n%s", n, log.String())
		}
	})
}
