package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/smtp"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// 50 and 1000 when all is checked before a change lands.
var (
	kills    = flag.Int("kill.kills", 5, "how often TestKilledAtAnyMoment kills")
	messages = flag.Int("kill.messages", 100, "how many messages it sends")
)

const childEnv = "MTASTS_RELAY_TEST_CHILD"

// A childConfig is what the process to be killed has to know.
type childConfig struct {
	Spool     string
	QueueTime time.Duration
	Roots     string            // file
	Hosts     map[string]string // TCP address by name
}

// The domains of TestKilledAtAnyMoment, and their policies. The MX host of attacked.example has a
// certificate for another name. Nothing listens at that of dead.example.
var destinations = map[string]mtasts.Mode{
	"good.example": mtasts.ModeEnforce, "attacked.example": mtasts.ModeEnforce, "testing.example": mtasts.ModeTesting,
	"dead.example": mtasts.ModeEnforce, "sender.example": mtasts.ModeNone,
}

// child is the process to be killed. It is the relay, in a World of its own.
func child(config string) {
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
	}
	var c childConfig
	must(json.Unmarshal([]byte(config), &c))
	cfg, err := parse([]string{"-spool", c.Spool, "-listen", "127.0.0.1:0", "-hostname", "relay.example", "-roots", c.Roots}, os.Stderr)
	must(err)
	w := mtaststest.NewWorld()
	addresses := make(map[string]string)
	for domain, mode := range destinations {
		mx := "mx." + domain
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(len(addresses) + 1)})
		addresses[netip.AddrPortFrom(addr, 25).String()] = c.Hosts[mx]
		w.Publish(domain, "1", mtaststest.Policy(mode, week, mx))
		w.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: mx}}})
		w.DNS.Set(mx, resolver.Records{Addr: []netip.Addr{addr}})
	}
	cfg.policies = *w.Options()
	cfg.sender.DNS = w.DNS
	cfg.sender.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addresses[address])
	}
	cfg.queueTime, cfg.retry = c.QueueTime, 50*time.Millisecond
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin) // it ends with the parent
		os.Exit(1)
	}()
	must(run(ctx, cfg, os.Stderr))
	os.Exit(0)
}

// A process is a running child.
type process struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	address string // of its server
	ended   chan struct{}
}

// startProcess returns when the relay accepts mail.
func startProcess(t *testing.T, c childConfig) *process {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if address, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				address, _, _ = strings.Cut(address, ",")
				listening <- address
			} else if strings.Contains(lines.Text(), "set aside") || strings.Contains(lines.Text(), "child:") {
				t.Error(lines.Text())
			}
		}
	}()
	select {
	case p.address = <-listening:
	case <-p.ended:
		t.Fatal("the relay has not started")
	}
	return p
}

// end sends a signal, and waits for the end of the process.
func (p *process) end(signal os.Signal) error {
	p.cmd.Process.Signal(signal)
	<-p.ended
	defer p.stdin.Close()
	return p.cmd.Wait()
}

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
