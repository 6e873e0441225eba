//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// The domains of the tests of examples/relay. once.test receives what the relay bounces.
const (
	goodDomain     = "moved.test"       // all is in order
	testingDomain  = "plain.example"    // mode testing, without STARTTLS
	faultyDomain   = "misnamed.example" // mode enforce, with the certificate of another host
	attackedDomain = "norecord.test"    // forged MX records, and a policy that cannot be found any more
	deadDomain     = "stopped.test"     // no host listens
	bouncesDomain  = "once.test"
)

// A relay is a running examples/relay.
type relay struct {
	*world
	program string
	spool   string
	addr    string
	via     string // the DNS server that it asks
	daemon  *daemon
}

// newRelay builds examples/relay and prepares the domains.
func newRelay(t *testing.T) *relay {
	t.Helper()
	if _, err := exec.LookPath("swaks"); err != nil {
		t.Fatalf("%v: install it with .ci/install-servers", err)
	}
	dir := t.TempDir()
	r := &relay{world: newWorld(t), program: filepath.Join(dir, "mtasts-relay"), spool: filepath.Join(dir, "spool")}
	r.addr, r.via = r.world.addr(25), r.dns.addr
	// In its own folder, since it is a module of its own.
	out, err := exec.Command("go", "build", "-C", "../../examples/relay", "-buildvcs=false", "-o", r.program, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("building examples/relay: %v\n%s", err, out)
	}
	r.publish(t, testingDomain, "2", policy("testing", 604800, "mx."+testingDomain))
	r.dns.replace(t, deadDomain, "MX", "10 mx."+deadDomain+".")
	r.dns.replace(t, "mx."+deadDomain, "A", r.world.addr(99))
	r.dns.replace(t, "_mta-sts."+deadDomain, "TXT")
	return r
}

// start starts the relay in its spool, and waits until it listens.
func (r *relay) start(t *testing.T, queueTime time.Duration) {
	t.Helper()
	r.daemon = startDaemon(t, r.dir, "/bin/sh", "-c", `echo $$ >"$0"; exec "$@"`, r.pidFile(), r.program, "-spool", r.spool,
		"-listen", r.addr+":2525", "-hostname", "relay.test", "-queue-time", queueTime.String(),
		"-dns", r.via, "-roots", r.roots, "-allow", r.net.String())
	r.daemon.listening(t, r.addr+":2525")
}

func (r *relay) pidFile() string { return filepath.Join(r.dir, "relay.pid") }

// kill ends the relay at once.
func (r *relay) kill(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(r.pidFile())
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-r.daemon.exited
}

// swaks submits a message.
func (r *relay) swaks(t *testing.T, from, subject string, to ...string) {
	t.Helper()
	out, err := exec.Command("swaks", "--server", r.addr, "--port", "2525", "--from", from, "--to", strings.Join(to, ","),
		"--header", "Subject: "+subject, "--body", "Good morning.").CombinedOutput()
	if err != nil {
		t.Fatalf("swaks: %v\n%s", err, out)
	}
}

// status returns what -status prints.
func (r *relay) status() (string, error) {
	out, err := exec.Command(r.program, "-spool", r.spool, "-status").CombinedOutput()
	return string(out), err
}

// wait waits until the queue is empty.
func (r *relay) wait(t *testing.T, limit time.Duration) {
	t.Helper()
	for end := time.Now().Add(limit); ; <-time.After(200 * time.Millisecond) {
		status, err := r.status()
		if err == nil && strings.HasPrefix(status, "0 messages\n") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s the queue is not empty: %v\n%.4000s", limit, err, status)
		}
	}
}

// received returns how many copies of a message each address has got, and how many bounces there
// are about each.
func (r *relay) received(t *testing.T) (copies, bounced map[string]int) {
	t.Helper()
	eventually(t, "Postfix has delivered its queue", r.mta.queueEmpty)
	files, err := filepath.Glob(r.mta.path("mail/all/new/*"))
	if err != nil {
		t.Fatal(err)
	}
	copies, bounced = map[string]int{}, map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		to := m.Header.Get("Delivered-To")
		if !strings.HasSuffix(to, "@"+bouncesDomain) {
			copies[to]++
			continue
		}
		for _, failed := range parseBounce(t, string(text)).failed {
			bounced[strings.TrimPrefix(failed.Get("Final-Recipient"), "rfc822; ")]++
		}
	}
	return copies, bounced
}

// A notice is a bounce as a mail program reads it.
type notice struct {
	text     string                 // for people
	failed   []textproto.MIMEHeader // the fields about each recipient
	original string                 // header of the message
}

func parseBounce(t *testing.T, text string) (n notice) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || m.Header.Get("Return-Path") != "<>" {
		t.Fatalf("no bounce (%v):\n%s", err, text)
	}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if err == io.EOF {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		switch kind, _, _ := strings.Cut(part.Header.Get("Content-Type"), ";"); kind {
		case "text/plain":
			n.text = strings.Join(strings.Fields(string(body)), " ")
		case "text/rfc822-headers":
			n.original = string(body)
		case "message/delivery-status":
			fields := textproto.NewReader(bufio.NewReader(bytes.NewReader(body)))
			for i := 0; err == nil; i++ {
				var block textproto.MIMEHeader
				if block, err = fields.ReadMIMEHeader(); i > 0 && len(block) > 0 {
					n.failed = append(n.failed, block)
				}
			}
			if !errors.Is(err, io.EOF) {
				t.Errorf("delivery-status: %v\n%s", err, body)
			}
		}
	}
}

func TestRelay(t *testing.T) {
	r := newRelay(t)
	r.start(t, time.Hour)
	r.swaks(t, "first@"+bouncesDomain, "first contact", "first@"+attackedDomain) // so that the policy is cached
	r.wait(t, patience)
	r.dns.replace(t, attackedDomain, "MX", "10 mx.attacker.test.")
	r.dns.replace(t, "_mta-sts."+attackedDomain, "TXT")
	r.daemon.stop(t)
	t.Run("each outcome", func(t *testing.T) { relayOutcomes(t, r) })
	t.Run("1,000 messages and kills", func(t *testing.T) { relayKills(t, r) })
	t.Run("an intruder hides the policy", func(t *testing.T) { relayIntruder(t, r) })
}

func relayOutcomes(t *testing.T, r *relay) {
	const sender = "sender@" + bouncesDomain
	r.dns.replace(t, "elsewhere.test", "MX", "10 mx.victims.test.") // which refuses it
	r.start(t, 5*time.Second)
	held := []string{"user@" + faultyDomain, "user@" + attackedDomain, "user@" + deadDomain}
	r.swaks(t, sender, "a test", append(held, "user@"+goodDomain, "user@"+testingDomain, "user@elsewhere.test")...)
	eventually(t, "the status shows why messages wait", func() error {
		status, err := r.status()
		for _, want := range []string{"<user@" + faultyDomain + ">  4.7.5 ", "<user@" + attackedDomain + ">  4.4.8 ", "<user@" + deadDomain + ">  ",
			"certificate-host-mismatch", "not listed", "connection refused", attackedDomain + " ", "enforce "} {
			if !strings.Contains(status, want) {
				return errors.Join(fmt.Errorf("it does not have %q:\n%s", want, status), err)
			}
		}
		return err
	})
	r.wait(t, 2*patience)
	r.daemon.stop(t)

	for to, want := range map[string]message{
		"user@" + goodDomain:    {by: "mx.victims.test", tls: "TLSv1.3"},
		"user@" + testingDomain: {by: "mx." + testingDomain},
	} {
		got := r.mta.mailbox(t, to)
		if len(got) != 1 || got[0].by != want.by || got[0].tls != want.tls || !strings.Contains(got[0].text, "Good morning.") {
			t.Errorf("%s got %+v, want one message, by %s over %q", to, got, want.by, want.tls)
		}
	}
	for _, to := range append(held, "user@elsewhere.test") {
		if got := r.mta.mailbox(t, to); len(got) > 0 {
			t.Errorf("%s got %+v", to, got)
		}
	}
	got := map[string]notice{}
	for _, m := range r.mta.mailbox(t, sender) {
		n := parseBounce(t, m.text)
		if len(n.failed) != 1 || !strings.Contains(n.original, "Subject: a test\n") && !strings.Contains(n.original, "Subject: a test\r\n") {
			t.Errorf("a bounce about %v, which quotes %q", n.failed, n.original)
			continue
		}
		to := strings.TrimPrefix(n.failed[0].Get("Final-Recipient"), "rfc822; ")
		if _, twice := got[to]; twice {
			t.Errorf("two bounces about %s", to)
		}
		got[to] = n
	}
	for _, want := range []struct {
		to, status, remote string
		text               []string
	}{
		{"user@" + faultyDomain, "5.7.5", "dns; mx." + faultyDomain, []string{"certificate-host-mismatch", "mode enforce, with id 1,",
			"install a certificate with this name.", "mx: mx." + faultyDomain}},
		{"user@" + attackedDomain, "5.4.8", "", []string{"mx.attacker.test", "list it in the policy", "mx: mx.victims.test"}},
		{"user@" + deadDomain, "5.4.7", "", []string{"connection refused"}},
		{"user@elsewhere.test", "5.7.1", "dns; mx.victims.test", []string{"Relay access denied"}},
	} {
		n, ok := got[want.to]
		if !ok {
			t.Errorf("no bounce about %s", want.to)
			continue
		}
		if f := n.failed[0]; f.Get("Status") != want.status || f.Get("Remote-MTA") != want.remote || f.Get("Action") != "failed" {
			t.Errorf("%s: %v, want status %s of %q", want.to, f, want.status, want.remote)
		}
		for _, text := range want.text {
			if !strings.Contains(n.text, text) {
				t.Errorf("%s: the bounce does not have %q: %s", want.to, text, n.text)
			}
		}
	}
	if len(got) != 4 {
		t.Errorf("bounces about %d recipients, want 4", len(got))
	}
}

// An intruder forges MX records and lets no TXT record through. The cached policy holds the message.
// It is not bounced when the queue time is over, since the policy cannot be checked for a change.
func relayIntruder(t *testing.T, r *relay) {
	r.via = r.intruder(t, 61, dnsmessage.RCodeRefused)
	r.start(t, time.Second)
	r.swaks(t, "intruded@"+bouncesDomain, "a test", "intruded@"+attackedDomain)
	eventually(t, "the policy was to be checked", func() error {
		status, err := r.status()
		if !strings.Contains(status, "<intruded@"+attackedDomain+">  4.4.8 ") || !strings.Contains(status, "could not be checked") {
			return errors.Join(errors.New(status), err)
		}
		return err
	})
	r.daemon.stop(t)
	for _, to := range []string{"intruded@" + attackedDomain, "intruded@" + bouncesDomain} {
		if got := r.mta.mailbox(t, to); len(got) > 0 {
			t.Errorf("%s got %+v", to, got)
		}
	}
}
