//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// postmap asks examples/postfix as Postfix's own tool does. It returns the output; without
// a result, that is empty.
func (p *postfix) postmap(t *testing.T, table, key, stdin string) string {
	t.Helper()
	cmd := exec.Command("/usr/sbin/postmap", "-c", p.path("etc"), "-q", key, table)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && (len(out) > 0 || stderr.Len() > 0) { // exit status 1 alone: not found
		t.Fatalf("postmap -q %q %s: %v\n%s%s", key, table, err, out, &stderr)
	}
	return string(out)
}

func TestPolicyMap(t *testing.T) {
	w := newWorld(t)
	_, socketmap := startSocketmap(t, w, "-dns", w.dns.addr, "-dane", "off")
	sender, submit := startSender(t, w, socketmap, w.dns.addr)
	table := "socketmap:inet:" + socketmap + ":mta-sts"

	t.Run("postmap", func(t *testing.T) {
		for key, want := range map[string]string{
			"example.net":         "secure match=mail.example.net servername=hostname\n",
			"EXAMPLE.NET":         "secure match=mail.example.net servername=hostname\n",
			"[example.net]:25":    "secure match=mail.example.net servername=hostname\n",
			"naut.ca":             "secure match=mail.naut.ca servername=hostname\n", // of *.naut.ca
			"nmrc.org":            "",                                                // mode testing
			"example.edu":         "",                                                // the fetch fails
			"nowhere.example":     "",
			".example.net":        "",
			"[192.0.2.1]":         "",
			"b\u00fccher.example": "",
		} {
			if got := sender.postmap(t, table, key, ""); got != want {
				t.Errorf("%s: %q, want %q", key, got, want)
			}
		}
		got := sender.postmap(t, table+"-tlsrpt", "example.net", "")
		if !strings.Contains(got, " policy_type=sts policy_domain=example.net mx_host_pattern=mail.example.net {policy_string = version: STSv1} ") {
			t.Error(got)
		}
	})

	t.Run("postmap over a UNIX socket", func(t *testing.T) {
		unix := "socketmap:unix:" + filepath.Join(w.dir, "socketmap", "mtasts-postfix.sock") + ":mta-sts"
		if got := sender.postmap(t, unix, "example.net", ""); got != "secure match=mail.example.net servername=hostname\n" {
			t.Error(got)
		}
	})

	t.Run("postmap, 10,000 keys", func(t *testing.T) {
		var keys strings.Builder
		for i := range 5000 {
			fmt.Fprintf(&keys, "example.net\nnowhere%d.example\n", i%50)
		}
		got := sender.postmap(t, table, "-", keys.String())
		if want := "example.net\tsecure match=mail.example.net servername=hostname\n"; got != strings.Repeat(want, 5000) {
			t.Errorf("%d lines of %d octets: %.200q", strings.Count(got, "\n"), len(got), got)
		}
	})

	w.dns.replace(t, "several.test", "MX", "10 mx.victims.test.", "5 mx.attacker.test.", "1 mx.misnamed.example.")
	w.publish(t, "several.test", "2", policy("enforce", 604800, "mx.victims.test", "mx.misnamed.example"))
	for domain, want := range map[string]struct{ mx, tls string }{
		// In mode enforce, and in order.
		"example.net":   {"mail.example.net", "TLSv1.3"},
		"example.com":   {"mail.example.net", "TLSv1.3"},
		"naut.ca":       {"mail.naut.ca", "TLSv1.3"},
		"norecord.test": {"mx.victims.test", "TLSv1.3"},
		"example.org":   {"mail.example.net", "TLSv1.3"},
		"ipv6.example":  {"mx.ipv6.example", "TLSv1.3"},
		"several.test":  {"mx.victims.test", "TLSv1.3"}, // the third; one is misnamed, one not listed
		"two.example":   {"mx.two.example", "TLSv1.3"},  // not stray.two.example, which comes first
		// Without a policy that enforces.
		"nmrc.org":      {"talon.nmrc.org", "TLSv1.3"},
		"nethence.com":  {"xc.nethence.com", "TLSv1.3"},
		"pages.example": {"pages-example.j-v1.mx.microsoft", "TLSv1.3"},
		"example.edu":   {"mail.example.net", "TLSv1.3"},
		// In mode enforce, with a fault.
		"plain.example":     {},
		"refusing.example":  {},
		"tls11.example":     {},
		"untrusted.example": {},
		"expired.example":   {},
		"misnamed.example":  {},
	} {
		t.Run(domain, func(t *testing.T) {
			to := "postfix@" + domain
			submitMessage(t, submit, to)
			status, line := sender.outcome(t, to)
			switch {
			case want.mx == "":
				if got := w.mta.mailbox(t, to); status != "deferred" || len(got) > 0 {
					t.Errorf("%d messages, want none: %s", len(got), line)
				}
			case status != "sent":
				t.Error(line)
			default:
				got := w.mta.mailbox(t, to)
				if len(got) != 1 || got[0].by != want.mx || got[0].tls != want.tls {
					t.Errorf("%+v, want one by %s over %s: %s", got, want.mx, want.tls, line)
				}
			}
		})
	}

	// An attacker who holds DNS and network cannot take a cached policy away.
	t.Run("attacked", func(t *testing.T) {
		w.dns.replace(t, "_mta-sts.norecord.test", "TXT")
		w.dns.replace(t, "norecord.test", "MX", "10 mx.attacker.test")
		const to = "second@norecord.test"
		submitMessage(t, submit, to)
		if status, line := sender.outcome(t, to); status != "deferred" {
			t.Error(line)
		}
		if got := w.mta.mailbox(t, to); len(got) > 0 {
			t.Errorf("%+v", got)
		}
	})
}

// Kill and restart under load: postmap gets the right answer, or none.
func TestPolicyMapKilled(t *testing.T) {
	w := newWorld(t)
	d, socketmap := startSocketmap(t, w, "-dns", w.dns.addr, "-dane", "off")
	sender, _ := startSender(t, w, socketmap, w.dns.addr)
	table := "socketmap:inet:" + socketmap + ":mta-sts"
	const want = "secure match=mail.example.net servername=hostname\n"
	if got := sender.postmap(t, table, "example.net", ""); got != want {
		t.Fatal(got)
	}
	w.dns.stop(t) // from now on, only what is stored can be answered
	for i := range 4 {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			if i%2 == 0 {
				d.stop(t) // by SIGTERM
				return
			}
			text, err := os.ReadFile(filepath.Join(w.dir, "socketmap", "mtasts-postfix.pid"))
			if err != nil {
				t.Error(err)
				return
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err == nil {
				err = syscall.Kill(pid, syscall.SIGKILL)
			}
			if err != nil {
				t.Error(err)
			}
			<-d.exited
		}()
		for running := true; running; {
			select {
			case <-stopped:
				running = false
			default:
			}
			cmd := exec.Command("/usr/sbin/postmap", "-c", sender.path("etc"), "-q", "example.net", table)
			out, err := cmd.Output()
			if string(out) != want && (err == nil || len(out) > 0) {
				t.Errorf("%q, %v", out, err)
			}
			if exit, ok := err.(*exec.ExitError); ok && len(exit.Stderr) == 0 {
				t.Error("the domain has no policy any more")
			}
		}
		d, _ = startSocketmap(t, w, "-dns", w.dns.addr, "-dane", "off")
		if got := sender.postmap(t, table, "example.net", ""); got != want {
			t.Error(got)
		}
	}
}
