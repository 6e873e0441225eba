package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
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
			} else if strings.Contains(lines.Text(), "not in the queue") || strings.Contains(lines.Text(), "child:") {
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
