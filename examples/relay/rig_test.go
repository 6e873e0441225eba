package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/internal/leak"
	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		child(config)
	}
	leak.Main(m)
}

const (
	domain = "example.com"
	mx     = "mx.example.com"
	sender = "alice@sender.example"
	text   = "Subject: test\r\n\r\nHello.\r\n"
	week   = 7 * 24 * time.Hour
)

// A rig is a queue in a World, without sockets: it runs in a bubble of testing/synctest.
type rig struct {
	*mtaststest.World
	t   *testing.T
	ca  *testpki.CA
	dir string
	q   *queue
	log *log

	report func(mtasts.Event) // replaces that of the World, if it is set

	bounces *mailhost // of the domain of the sender

	mu    sync.Mutex
	hosts map[netip.Addr]func(net.Conn)

	added []*mailhost
	stop  func()
}

func newRig(t *testing.T) *rig {
	r := &rig{World: mtaststest.NewWorld(), t: t, ca: testpki.Must(testpki.New()), dir: t.TempDir(), log: &log{t: t}}
	r.hosts = make(map[netip.Addr]func(net.Conn))
	t.Cleanup(r.close)
	r.bounces = r.addHost("mx.sender.example")
	r.setMX("sender.example", "mx.sender.example")
	r.setMX(domain, mx)
	r.start()
	return r
}

// close stops the queue and then the hosts.
func (r *rig) close() {
	r.stop()
	for _, h := range r.added {
		h.close()
	}
	r.added = nil
}

// start starts the queue, after stop again.
func (r *rig) start() {
	roots := r.Roots()
	roots.AppendCertsFromPEM(r.ca.PEM())
	opts := r.Options()
	if r.report != nil {
		opts.Report = r.report
	}
	policies := mtasts.New(new(cache.Memory), opts)
	s := &delivery.Sender{Policies: policies, DNS: r.DNS, Roots: roots, Dial: r.dial, Port: "25", Helo: "relay.example",
		KeepIdle: 10 * time.Second, Log: r.log.printf}
	r.q = newQueue(&config{spool: r.dir, queueTime: 5 * 24 * time.Hour, retry: 5 * time.Minute}, s)
	if err := r.q.load(); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { r.q.run(ctx); close(ended) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		s.Close()
		policies.Close()
	})
}

func (r *rig) dial(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	serve := r.hosts[netip.MustParseAddrPort(address).Addr()]
	r.mu.Unlock()
	if serve == nil {
		return nil, fmt.Errorf("dial %s: refused", address)
	}
	client, server := net.Pipe()
	go serve(server)
	return client, nil
}

// serveHost gives a host an address.
func (r *rig) serveHost(host string, serve func(net.Conn)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(len(r.hosts) + 1)})
	r.hosts[addr] = serve
	r.DNS.Set(host, resolver.Records{Addr: []netip.Addr{addr}})
}

// addHost adds a host with a valid certificate.
func (r *rig) addHost(host string) *mailhost {
	h := newMailhost(testpki.Must(r.ca.Issue(host)))
	r.added = append(r.added, h)
	r.serveHost(host, h.serve)
	return h
}

// addFaulty adds a host of the World.
func (r *rig) addFaulty(host string, behaviour mtaststest.MX) {
	r.AddMX(host, behaviour)
	r.serveHost(host, func(conn net.Conn) { r.ServeMX(conn, host) })
}

func (r *rig) setMX(domain, host string) {
	r.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: host, Pref: 10}}})
}

func (r *rig) publish(domain, id string, mode mtasts.Mode, hosts ...string) {
	r.Publish(domain, id, mtaststest.Policy(mode, 4*week, hosts...))
}

func (r *rig) accept(from string, to ...string) {
	r.t.Helper()
	if err := r.q.accept(from, to, strings.NewReader(text)); err != nil {
		r.t.Fatal(err)
	}
}

// files returns the names in the spool with an extension.
func (r *rig) files(ext string) []string {
	names, err := filepath.Glob(filepath.Join(r.dir, "*"+ext))
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

// wantQueue asserts who is still to get a message, in memory and on disk.
func (r *rig) wantQueue(want ...string) {
	r.t.Helper()
	onDisk, err := r.q.spool.load()
	if err != nil {
		r.t.Fatal(err)
	}
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	var inMemory []*message
	for _, m := range r.q.messages {
		inMemory = append(inMemory, m)
	}
	for where, messages := range map[string][]*message{"disk": onDisk, "memory": inMemory} {
		var got []string
		for _, m := range messages {
			for _, to := range m.To {
				got = append(got, to.Address)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			r.t.Errorf("on %s the queue has %q, want %q", where, got, want)
		}
	}
	if texts := r.files(".eml"); len(texts) != len(onDisk) {
		r.t.Errorf("%d texts for %d envelopes", len(texts), len(onDisk))
	}
}

// wantBounce asserts that the sender got one bounce, which has all of parts.
func (r *rig) wantBounce(parts ...string) {
	r.t.Helper()
	bounces := r.bounces.received()
	if len(bounces) != 1 {
		r.t.Fatalf("%d bounces, want 1", len(bounces))
	}
	if b := bounces[0]; b.from != "" || !slices.Equal(b.to, []string{sender}) {
		r.t.Errorf("the bounce is from %q to %q", b.from, b.to)
	}
	for _, part := range parts {
		if !strings.Contains(bounces[0].text, part) {
			r.t.Errorf("the bounce lacks %q:\n%s", part, bounces[0].text)
		}
	}
}

// log has the lines that were logged.
type log struct {
	t     *testing.T
	mu    sync.Mutex
	lines []string
	wait  chan struct{} // is closed by the next line
}

func (l *log) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Logf(format, args...)
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
	if l.wait != nil {
		close(l.wait)
		l.wait = nil
	}
}

// Write is for a log of whole lines.
func (l *log) Write(line []byte) (int, error) {
	l.printf("%s", strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

// await waits for a line that has part, from the n-th on, and returns it.
func (l *log) await(part string) string {
	l.t.Helper()
	for timeout := time.After(20 * time.Second); ; {
		l.mu.Lock()
		for _, line := range l.lines {
			if strings.Contains(line, part) {
				l.mu.Unlock()
				return line
			}
		}
		if l.wait == nil {
			l.wait = make(chan struct{})
		}
		wait := l.wait
		l.mu.Unlock()
		select {
		case <-wait:
		case <-timeout:
			l.t.Fatalf("the log lacks %q", part)
		}
	}
}

func (l *log) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, part) })
}
