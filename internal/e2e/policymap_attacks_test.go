//go:build e2e

package e2e

import (
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// The attacks of TestCachedPolicyOutlivesAttacks, with a real Postfix: the map keeps each policy
// and checks it anew, and Postfix delivers nothing to the attacker's MX host.
func TestPolicyMapAttacked(t *testing.T) {
	w := newWorld(t)
	web := net.JoinHostPort(w.addr(socketmapHost), "8463")
	args := []string{"-dns", w.dns.addr, "-dane", "off", "-http", web}
	server, socketmap := startSocketmap(t, w, args...)
	sender, submit := startSender(t, w, socketmap, w.dns.addr)
	table := "socketmap:inet:" + socketmap + ":mta-sts"

	attacks := map[string]func(domain string){
		"norecord": func(domain string) { w.dns.replace(t, "_mta-sts."+domain, "TXT") },
		"tworecords": func(domain string) {
			w.dns.replace(t, "_mta-sts."+domain, "TXT", txt("v=STSv1; id=1;"), txt("v=STSv1; id=2;"))
		},
		"servfail": func(domain string) { // a loop
			w.dns.replace(t, "_mta-sts."+domain, "TXT")
			w.dns.replace(t, "_mta-sts."+domain, "CNAME", "_mta-sts."+domain)
		},
	}
	for fault, addr := range w.broken {
		attacks[fault] = func(domain string) { // a new id, and another policy host
			w.dns.replace(t, "mta-sts."+domain, "A", addr)
			w.dns.replace(t, "_mta-sts."+domain, "TXT", txt("v=STSv1; id=2;"))
		}
	}
	expect := func(what, want string) {
		t.Helper()
		for label := range attacks {
			if got := sender.postmap(t, table, label+".test", ""); got != want {
				t.Errorf("%s: %s: %q, want %q", what, label, got, want)
			}
		}
	}

	const policy = "secure match=mx.victims.test servername=hostname\n"
	expect("before the attack", policy)
	for label, attack := range attacks {
		w.dns.replace(t, label+".test", "MX", "10 mx.attacker.test")
		attack(label + ".test")
	}
	server.stop(t) // after a start, the first query about a domain starts a check
	server, _ = startSocketmap(t, w, args...)
	expect("attacked", policy)
	eventually(t, "all checks have ended", func() error {
		resp, err := http.Get("http://" + web + "/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && !strings.Contains(string(text), "\nmtasts_lookups_in_progress 0\n") {
			return errors.New("look-ups are under way")
		}
		return err
	})
	expect("checked anew", policy)
	for label := range attacks {
		t.Run(label, func(t *testing.T) {
			to := "attacked@" + label + ".test"
			submitMessage(t, submit, to)
			if status, line := sender.outcome(t, to); status != "deferred" {
				t.Error(line)
			}
			if got := w.mta.mailbox(t, to); len(got) > 0 {
				t.Errorf("%+v", got)
			}
		})
	}

	server.stop(t)
	startSocketmap(t, w, append(args, "-db", filepath.Join(t.TempDir(), "empty.db"))...)
	expect("without a cached policy", "")
}
