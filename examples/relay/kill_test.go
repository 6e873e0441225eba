package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// 50 and 1000 when all is checked before a change lands.
var (
	kills    = flag.Int("kill.kills", 5, "how often TestKilledAtAnyMoment kills")
	messages = flag.Int("kill.messages", 100, "how many messages it sends")
)

// A ledger has what is known of each message, by the local part of its recipient.
type ledger struct {
	mu       sync.Mutex
	accepted map[string]string // the domain; the relay has replied 250
	arrived  map[string]int    // at the host of the recipient, or "bounce of " it at that of the sender
	window   map[string]int    // how often it had arrived, but was still in the spool after a kill
}

// listen starts an MX host that writes into the ledger.
func (l *ledger) listen(t *testing.T, certificate tls.Certificate) (h *mailhost, address string) {
	t.Helper()
	h = newMailhost(certificate)
	h.refuse = func(to string) error {
		if strings.HasPrefix(to, "unknown") {
			return reply(550, "No such user")
		}
		return nil
	}
	h.accept = func(m delivered) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, key := range keys(m.to, m.text) {
			l.arrived[key]++
		}
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		socket.Close()
		h.close()
	})
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			h.serve(conn)
		}
	}()
	return h, socket.Addr().String()
}

// keys returns the keys of a message in a ledger.
func keys(to []string, text string) (keys []string) {
	for _, address := range to {
		local, _, _ := strings.Cut(address, "@")
		if address == sender {
			_, failed, _ := strings.Cut(text, "Final-Recipient: rfc822; ")
			local, _, _ = strings.Cut(failed, "@")
			local = "bounce of " + local
		}
		keys = append(keys, local)
	}
	return keys
}

// afterKill notes what has arrived and is still in the spool: it arrives again. That is one message
// at most for each next hop.
func (l *ledger) afterKill(t *testing.T, spool string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	hops := make(map[string][]string)
	for _, name := range envelopes(t, spool) {
		var m message
		envelope, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(envelope, &m)
		}
		if err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		text, err := os.ReadFile(strings.TrimSuffix(name, ".json") + ".eml")
		if err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		var to []string
		for _, r := range m.To {
			to = append(to, r.Address)
		}
		for _, key := range keys(to, string(text)) {
			if l.arrived[key] > l.window[key] {
				l.window[key]++
				_, hop, _ := strings.Cut(to[0], "@")
				hops[hop] = append(hops[hop], key)
			}
		}
	}
	for hop, arrived := range hops {
		if len(arrived) > 1 {
			t.Errorf("after a kill: %d messages to %s have arrived and are still in the spool: %q", len(arrived), hop, arrived)
		}
	}
}

func envelopes(t *testing.T, spool string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(spool, "*.json*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// submit sends message n until the relay accepts it, in each attempt under another name.
func (l *ledger) submit(n int, address func() string) {
	kinds := []string{"good@good.example", "testing@testing.example", "attacked@attacked.example", "dead@dead.example", "unknown@good.example"}
	kind, domain, _ := strings.Cut(kinds[n%len(kinds)], "@")
	for attempt := 0; ; attempt++ {
		local := fmt.Sprintf("%s-%d-%d", kind, n, attempt)
		if smtp.SendMail(address(), nil, sender, []string{local + "@" + domain}, []byte(text)) == nil {
			l.mu.Lock()
			l.accepted[local] = domain
			l.mu.Unlock()
			return
		}
	}
}

// missing returns what has not arrived yet, as a message or as a bounce.
func (l *ledger) missing() (missing []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for local := range l.accepted {
		if l.arrived[local]+l.arrived["bounce of "+local] == 0 {
			missing = append(missing, local)
		}
	}
	return missing
}

// The relay is killed at random moments while it accepts and delivers. Each message that it has
// accepted is delivered or bounced, none both. A second copy is only of what had arrived, but was
// not yet stored as delivered, at the moment of a kill.
func TestKilledAtAnyMoment(t *testing.T) {
	l := &ledger{accepted: make(map[string]string), arrived: make(map[string]int), window: make(map[string]int)}
	ca := testpki.Must(testpki.New())
	c := childConfig{Spool: filepath.Join(t.TempDir(), "spool"), QueueTime: week, Hosts: make(map[string]string)}
	c.Roots = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(c.Roots, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	var hosts []*mailhost
	for domain := range destinations {
		mx, name := "mx."+domain, "mx."+domain
		switch domain {
		case "dead.example":
			c.Hosts[mx] = "127.0.0.1:1"
			continue
		case "attacked.example", "testing.example":
			name = "mx.attacker.example"
		}
		h, address := l.listen(t, testpki.Must(ca.Issue(name)))
		hosts, c.Hosts[mx] = append(hosts, h), address
	}

	p := startProcess(t, c)
	var mu sync.Mutex
	address := func() string {
		mu.Lock()
		defer mu.Unlock()
		return p.address
	}
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		var clients sync.WaitGroup
		for i := range 4 {
			clients.Go(func() {
				for n := i; n < *messages; n += 4 {
					l.submit(n, address)
				}
			})
		}
		clients.Wait()
	}()
	for range *kills {
		<-time.After(rand.N(200 * time.Millisecond))
		mu.Lock() // so that clients wait for the next process
		p.end(syscall.SIGKILL)
		for _, h := range hosts {
			h.wait()
		}
		l.afterKill(t, c.Spool)
		p = startProcess(t, c)
		mu.Unlock()
	}
	<-submitted
	if err := p.end(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	c.QueueTime = time.Nanosecond // what is left has its last attempt
	p = startProcess(t, c)
	for timeout := time.After(time.Minute); len(envelopes(t, c.Spool)) > 0; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-timeout:
			t.Fatalf("still in the spool: %q", envelopes(t, c.Spool))
		}
	}
	if err := p.end(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}

	if missing := l.missing(); len(missing) > 0 {
		t.Errorf("lost: %q", missing)
	}
	for local, domain := range l.accepted {
		fails := domain == "attacked.example" || domain == "dead.example" || strings.HasPrefix(local, "unknown")
		if got := l.arrived["bounce of "+local] > 0; got != fails {
			t.Errorf("%s: bounced: %t, want %t", local, got, fails)
		}
		if got := l.arrived[local] > 0; got == fails {
			t.Errorf("%s: delivered: %t, want %t", local, got, !fails)
		}
	}
	copies := 0
	for key, n := range l.arrived {
		if n > 1+l.window[key] {
			t.Errorf("%s: %d copies, of which kills excuse %d", key, n, l.window[key])
		}
		copies += n - 1
	}
	t.Logf("%d messages accepted, %d kills, %d second copies", len(l.accepted), *kills, copies)
}
