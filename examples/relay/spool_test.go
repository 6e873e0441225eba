package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// An attempt that cannot be stored is not made: otherwise a process that crashes would hammer a host.
func TestAnAttemptIsStoredBeforeItIsMade(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		h := r.addHost(mx)
		stored := make(chan []*message, 1)
		h.data = func() error {
			messages, err := r.q.spool.load()
			stored <- messages
			return err
		}
		r.accept(sender, "b@"+domain)
		during := <-stored
		if len(during) != 1 || during[0].Tries != 1 || during[0].Next.Before(during[0].Arrived.Add(2*time.Minute)) {
			t.Errorf("during the attempt the spool has %+v, want the attempt and the time of the next", during)
		}
		time.Sleep(time.Minute)
	})
	play(t, func(t *testing.T, r *rig) {
		h := r.addHost(mx)
		r.setMX(domain, "")
		r.DNS.Set(domain, resolver.Records{Fail: resolver.ServFail})
		r.accept(sender, "b@"+domain)
		time.Sleep(time.Minute)
		r.setMX(domain, mx)
		away := r.dir + ".away"
		if err := os.Rename(r.dir, away); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := h.sessionsSoFar(); n > 0 {
			t.Errorf("%d sessions although no attempt could be stored", n)
		}
		if err := os.Rename(away, r.dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		if got := h.received(); len(got) != 1 {
			t.Errorf("%d messages delivered once the spool can be written, want 1", len(got))
		}
	})
}

// After a restart, what is overdue is sent, in few sessions.
func TestRestart(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		h := r.addHost(mx)
		r.DNS.Set(domain, resolver.Records{Fail: resolver.ServFail})
		for range 100 {
			r.accept(sender, "b@"+domain)
		}
		time.Sleep(10 * time.Second)
		r.stop()
		r.setMX(domain, mx)
		time.Sleep(time.Hour)
		r.start()
		time.Sleep(5 * time.Minute)
		if got := len(h.received()); got != 100 {
			t.Errorf("%d messages delivered, want 100", got)
		}
		r.wantQueue()
		if n := h.sessionsSoFar(); n > 40 {
			t.Errorf("%d sessions for 100 messages: they are not used again", n)
		}
	})
}

// id returns the name of a file of a message.
func id(letter, ext string) string { return strings.Repeat(letter, 26) + ext }

// A message that came while the clock was wrong is delivered, or bounced, as any other.
func TestClockWasWrong(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.stop()
		h := r.addHost(mx)
		for letter, to := range map[string]string{"A": "a@example.com", "B": "b@dead.example"} {
			envelope := `{"From":"alice@sender.example","To":[{"Address":"` + to + `"}],"Arrived":"2040-01-01T00:00:00Z","Next":"2040-01-01T00:00:00Z"}`
			for name, content := range map[string]string{id(letter, ".json"): envelope, id(letter, ".eml"): text} {
				if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.DNS.Set("dead.example", resolver.Records{Fail: resolver.ServFail})
		r.start()
		time.Sleep(time.Hour)
		if got := h.received(); len(got) != 1 {
			t.Errorf("%d messages delivered, want 1", len(got))
		}
		r.wantQueue("b@dead.example")
		time.Sleep(week)
		r.wantBounce("b@dead.example")
		r.wantQueue()
	})
}

// A bounce is delivered once, at whatever moment of its making the process was killed.
func TestKilledWhileABounceIsMade(t *testing.T) {
	for _, stored := range []struct {
		name             string
		envelope, bounce string
	}{
		{"before it has an envelope", `{"From":"alice@sender.example","Next":"2000-01-01T00:30:00Z","Bounce":"BBBBBBBBBBBBBBBBBBBBBBBBBB"}`, ""},
		{"when it has an envelope", `{"From":"alice@sender.example","Next":"2000-01-01T00:30:00Z","Bounce":"BBBBBBBBBBBBBBBBBBBBBBBBBB"}`,
			`{"From":"","To":[{"Address":"alice@sender.example"}]}`},
		{"with a recipient left", `{"From":"alice@sender.example","To":[{"Address":"b@example.com"}],"Next":"2000-01-01T00:30:00Z","Bounce":"BBBBBBBBBBBBBBBBBBBBBBBBBB"}`, ""},
	} {
		t.Run(stored.name, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig) {
				r.stop()
				r.addHost(mx)
				for name, content := range map[string]string{id("M", ".json"): stored.envelope, id("M", ".eml"): text, id("B", ".json"): stored.bounce, id("B", ".eml"): text} {
					if content != "" {
						if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
							t.Fatal(err)
						}
					}
				}
				r.start()
				time.Sleep(time.Hour)
				r.wantBounce("Hello.")
				r.wantQueue()
			})
		})
	}
}

// An envelope that cannot be read stays, with its text. It holds up no other message, and
// what is unfinished is removed. Other files are left alone.
func TestUnreadableEnvelope(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.stop()
		h := r.addHost(mx)
		for name, content := range map[string]string{
			id("A", ".json"): "", id("A", ".eml"): text, // an empty file
			id("B", ".json"): `{"From":"","To":[{"Address":"b@example.com"}]}`, // without a text
			id("C", ".json"): `{"From":"","To":[{"Address":"c@example.com"}],"Tries":-9}`, id("C", ".eml"): text,
			id("D", ".json"): `{"To":7}`, id("D", ".eml"): text,
			id("E", ".eml"): text, ".new-1": text, // of a submission that was never accepted
			".profile": "", "package.json": "{}", "saved.eml": text, // of somebody else
		} {
			if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // also the second time nothing is lost
			r.start()
			time.Sleep(time.Hour)
			r.stop()
		}
		if got := h.received(); len(got) != 1 || got[0].to[0] != "c@"+domain {
			t.Errorf("delivered %+v, want one message to c", got)
		}
		entries, err := os.ReadDir(r.dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			id, rest, _ := strings.Cut(e.Name(), ".")
			names = append(names, id[:min(len(id), 7)]+"."+rest)
		}
		if got, want := strings.Join(names, " "), ".profile AAAAAAA.eml AAAAAAA.json BBBBBBB.json DDDDDDD.eml DDDDDDD.json package.json saved.eml"; got != want {
			t.Errorf("the spool has %s, want %s", got, want)
		}
		if !r.log.has("AAA: not in the queue: ") {
			t.Error("the log has no line about it")
		}
	})
}

// During a shutdown, a transaction in which DATA has begun goes on; any other ends at once, and does
// not count as an attempt.
func TestShutdownDuringDATA(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		h := r.addHost(mx)
		h.data = func() error { time.Sleep(time.Minute); return nil }
		r.addFaulty("mx.other.example", mtaststest.MX{TLSReplies: mtaststest.Replies{"RCPT": ""}})
		r.setMX("other.example", "mx.other.example")
		r.accept(sender, "b@"+domain, "c@other.example")
		r.accept(sender, "later@"+domain)
		time.Sleep(time.Second)
		before := time.Now()
		r.stop()
		if waited := time.Since(before); waited < 59*time.Second || waited > 70*time.Second { // QUIT takes some
			t.Errorf("the shutdown took %s, want the 59 s that the host needs", waited)
		}
		if got := h.received(); len(got) != 1 {
			t.Errorf("%d messages delivered, want the one that had begun", len(got))
		}
		r.wantQueue("c@other.example", "later@"+domain)
		messages, err := r.q.spool.load()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.Tries != 0 {
				t.Errorf("%s: %d tries, want 0", m.To[0].Address, m.Tries)
			}
		}
	})
}

// Whatever is in place of a header, the message is accepted.
func TestHeaderIsMalformed(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		h := r.addHost(mx)
		for _, text := range []string{"", "\r\n", "no header\r\n\r\n", strings.Repeat("x", 200_000) + "\r\n", "\x00\xff: \r\n"} {
			if err := r.q.accept(sender, []string{"b@" + domain}, strings.NewReader(text)); err != nil {
				t.Errorf("%.20q: %v", text, err)
			}
		}
		time.Sleep(time.Hour)
		if got := len(h.received()); got != 4 { // a host refuses the line of 200,000 octets
			t.Errorf("%d messages delivered, want 4", got)
		}
	})
}

func TestFullQueue(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.stop()
		for i := range maxQueue {
			r.q.add(&message{ID: strconv.Itoa(i)})
		}
		if err := r.q.accept(sender, []string{"b@" + domain}, strings.NewReader(text)); !errors.Is(err, errFull) {
			t.Errorf("accept: %v, want %v", err, errFull)
		}
	})
}

// A bounce that cannot be stored is made at the next attempt, once.
func TestABounceCannotBeStored(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		away := r.dir + ".away"
		hide := sync.OnceValue(func() error { return os.Rename(r.dir, away) })
		r.addHost(mx).refuse = func(string) error {
			if err := hide(); err != nil {
				t.Error(err)
			}
			return reply(550, "No such user")
		}
		r.accept(sender, "b@"+domain)
		time.Sleep(time.Minute)
		if err := os.Rename(away, r.dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		r.wantBounce("No such user")
		r.wantQueue()
	})
}
