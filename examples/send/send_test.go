package main

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

const (
	domain = "example.com"
	mx     = "mx.example.com"
)

// listen calls serve for each connection to a port of 127.0.0.1.
func listen(t *testing.T, serve func(net.Conn)) (port string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// sendIn delivers a message to example.com in world, with its MX host at a port of 127.0.0.1.
// It returns the exit status and the log.
func sendIn(t *testing.T, world *mtaststest.World, port string) (status int, log []string) {
	t.Helper()
	world.DNS.Set(mx, resolver.Records{Addr: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	policies := mtasts.New(new(cache.Memory), world.Options())
	defer policies.Close()
	sender := &delivery.Sender{
		Policies: policies,
		DNS:      world.DNS,
		Roots:    world.Roots(),
		Dial:     new(net.Dialer).DialContext,
		Port:     port,
		Helo:     "sender.example",
		Log: func(format string, args ...any) {
			log = append(log, fmt.Sprintf(format, args...))
		},
	}
	defer sender.Close()
	status = send(t.Context(), sender, delivery.Message{From: "a@sender.example", To: []string{"b@" + domain}, Data: strings.NewReader("Subject: test\n\nHello.\n"), Last: true})
	return status, log
}

func TestOutcome(t *testing.T) {
	listed := resolver.Records{MX: []net.MX{{Host: mx}}}
	for _, test := range []struct {
		name    string
		records resolver.Records // of the domain
		host    mtaststest.MX
		want    int
		last    string // the beginning of the last line
	}{
		{"delivered", listed, mtaststest.MX{}, exitDelivered, "delivered"},
		{"certificate expired", listed, mtaststest.MX{Certificate: mtaststest.Expired}, exitDeferred,
			"deferred: mtasts: example.com: mx.example.com: certificate-expired: "},
		{"no STARTTLS", listed, mtaststest.MX{NoSTARTTLS: true}, exitDeferred,
			"deferred: mtasts: example.com: mx.example.com: starttls-not-supported: "},
		{"MX not listed", resolver.Records{MX: []net.MX{{Host: "mx.attacker.example"}}}, mtaststest.MX{}, exitDeferred,
			"deferred: mtasts: example.com: mx.attacker.example: validation-failure: "},
		{"no answer about the MX", resolver.Records{Fail: resolver.ServFail}, mtaststest.MX{}, exitDeferred,
			"deferred: lookup example.com: "},
		{"null MX", resolver.Records{MX: []net.MX{{Host: "."}}}, mtaststest.MX{}, exitRejected,
			"failed: rejected: example.com does not accept mail"},
	} {
		t.Run(test.name, func(t *testing.T) {
			world := mtaststest.NewWorld()
			world.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, mx))
			world.DNS.Set(domain, test.records)
			world.AddMX(mx, test.host)
			status, log := sendIn(t, world, listen(t, func(conn net.Conn) { world.ServeMX(conn, mx) }))
			if last := log[len(log)-1]; status != test.want || !strings.HasPrefix(last, test.last) {
				t.Errorf("exit status %d, last line %q, want %d, %q", status, last, test.want, test.last)
			}
			delivered := 0
			if test.want == exitDelivered {
				delivered = 1
			}
			if got := len(world.Mail(mx)); got != delivered {
				t.Errorf("%d messages in the mailbox, want %d", got, delivered)
			}
		})
	}
}

func TestUnknownUser(t *testing.T) {
	world := mtaststest.NewWorld()
	world.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: mx}}})
	status, log := sendIn(t, world, listen(t, func(conn net.Conn) {
		defer conn.Close()
		fmt.Fprint(conn, "220 ready\r\n")
		for in := bufio.NewScanner(conn); in.Scan(); {
			if strings.HasPrefix(in.Text(), "RCPT") {
				fmt.Fprint(conn, "550 5.1.1 No such user\r\n")
			} else {
				fmt.Fprint(conn, "250 ok\r\n")
			}
		}
	}))
	if last := log[len(log)-1]; status != exitRejected || !strings.Contains(last, "550") {
		t.Errorf("exit status %d, last line %q, want %d and the reply", status, last, exitRejected)
	}
}
