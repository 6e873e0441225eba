package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/examples/internal/loopback"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// A relay is the whole program, with real sockets.
type relay struct {
	*mtaststest.World
	dir, address string
	log          *log
	stop         func() error
}

func startRelay(t *testing.T, flags ...string) *relay {
	t.Helper()
	r := &relay{World: mtaststest.NewWorld(), log: &log{t: t}}
	r.dir = filepath.Join(t.TempDir(), "spool")
	cfg, err := parse(append([]string{"-spool", r.dir, "-listen", "127.0.0.1:0", "-hostname", "relay.example"}, flags...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	net := &loopback.Network{DNS: r.DNS}
	report := cfg.policies.Report
	cfg.policies = *r.Options()
	cfg.policies.Report = report
	cfg.sender.DNS, cfg.sender.Roots, cfg.sender.Dial = r.DNS, r.Roots(), net.Dial
	r.AddMX(mx, mtaststest.MX{})
	if err := net.Serve(mx, r.serve); err != nil {
		t.Fatal(err)
	}
	r.setMX(domain, mx)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, cfg, r.log) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		net.Close()
	})
	line := r.log.await("listening on ")
	r.address, _, _ = strings.Cut(strings.TrimPrefix(line, "listening on "), ",")
	return r
}

func (r *relay) serve(conn net.Conn) { r.ServeMX(conn, mx) }

func (r *relay) setMX(domain, host string) {
	r.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: host}}})
}

func (r *relay) status(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	if err := askStatus(r.dir, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func code(err error) int {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return reply.Code
	}
	return 0
}

func TestRelay(t *testing.T) {
	r := startRelay(t)
	r.Publish(domain, "1", mtaststest.Policy(mtasts.ModeEnforce, week, mx))
	if err := smtp.SendMail(r.address, nil, sender, []string{"b@" + domain}, []byte(text)); err != nil {
		t.Fatal(err)
	}
	r.log.await("delivered to <b@" + domain + ">")
	mail := r.Mail(mx)
	if len(mail) != 1 || mail[0].From != sender || mail[0].TLS == nil {
		t.Fatalf("delivered %+v, want one message in TLS", mail)
	}
	trace, rest, _ := strings.Cut(mail[0].Data, "\n")
	if !strings.HasPrefix(trace, "Received: from localhost by relay.example with ESMTP; ") || rest != strings.ReplaceAll(text, "\r\n", "\n") {
		t.Errorf("delivered %q", mail[0].Data)
	}

	r.setMX("held.example", mx)
	r.Publish("held.example", "1", mtaststest.Policy(mtasts.ModeEnforce, week, "other.held.example"))
	if err := smtp.SendMail(r.address, nil, "", []string{"c@held.example"}, []byte(text)); err != nil {
		t.Fatal(err)
	}
	r.log.await("deferred for <c@held.example>: 4.4.8 ")
	status := r.status(t)
	for _, want := range []string{" messages\n", "from <>", "<c@held.example>", "4.4.8 ", "tried 1 time", "held.example", "enforce"} {
		if !strings.Contains(status, want) {
			t.Errorf("the status lacks %q:\n%s", want, status)
		}
	}

	var stderr bytes.Buffer
	other, err := parse([]string{"-spool", r.dir, "-listen", "127.0.0.1:0", "-hostname", "relay.example"}, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), other, &stderr); err == nil {
		t.Error("a second relay has started in the same spool")
	}
	if err := smtp.SendMail(r.address, nil, sender, []string{"d@" + domain}, []byte(text)); err != nil {
		t.Errorf("after the start of a second relay: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if err := askStatus(r.dir, io.Discard); err == nil {
		t.Error("the status of a relay that has ended is no error")
	}
}

// What is refused at once, and why.
func TestSubmission(t *testing.T) {
	r := startRelay(t)
	to := []string{"b@" + domain}
	var many []string
	for i := range maxRecipients + 1 {
		many = append(many, fmt.Sprintf("b%d@%s", i, domain))
	}
	for name, test := range map[string]struct {
		from string
		to   []string
		text string
		want int
	}{
		"address literal":     {sender, []string{"b@[192.0.2.1]"}, text, 501},
		"no domain":           {sender, []string{"postmaster"}, text, 501},
		"sender":              {"a@[192.0.2.1]", to, text, 501},
		"too many recipients": {sender, many, text, 452},
		"too large":           {sender, to, text + strings.Repeat(strings.Repeat("x", 998)+"\r\n", maxSize/1000+1), 552},
		"line too long":       {sender, to, text + strings.Repeat("x", 3000), 554},
		"bare CR":             {sender, to, text + "x\r.\rMAIL FROM:<" + sender + ">\r\n", 554},
		"loop":                {sender, to, strings.Repeat("Received: from a by b; now\r\n", maxReceived) + text, 554},
	} {
		t.Run(name, func(t *testing.T) {
			if err := smtp.SendMail(r.address, nil, test.from, test.to, []byte(test.text)); code(err) != test.want {
				t.Errorf("%v, want %d", err, test.want)
			}
		})
	}
	if got := r.status(t); !strings.HasPrefix(got, "0 messages\n") {
		t.Errorf("the status begins %.30q, want no messages", got)
	}
	if left, err := filepath.Glob(filepath.Join(r.dir, ".new-*")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %q, %v", left, err)
	}
}

// A message is only accepted whole, also in a BDAT command (RFC 3030).
func TestClientHangsUp(t *testing.T) {
	r := startRelay(t)
	for _, command := range []string{"DATA", "BDAT 1000", "BDAT 1000 LAST"} {
		conn, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "EHLO a\r\nMAIL FROM:<%s>\r\nRCPT TO:<b@%s>\r\n%s\r\n%s", sender, domain, command, text)
		conn.(*net.TCPConn).CloseWrite()
		if replies, err := io.ReadAll(conn); err != nil || strings.Contains(string(replies), "queued") {
			t.Errorf("%s: replies %q, %v", command, replies, err)
		}
	}
	if got := r.status(t); !strings.HasPrefix(got, "0 messages\n") {
		t.Errorf("the status begins %.30q, want no messages", got)
	}
}

// A connection above the limit waits until another one ends.
func TestConnectionLimit(t *testing.T) {
	r := startRelay(t)
	var conns []net.Conn
	for range maxSessions + 1 {
		conn, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	greeting := make([]byte, 100)
	for _, conn := range conns[:maxSessions] {
		if _, err := conn.Read(greeting); err != nil {
			t.Fatal(err)
		}
	}
	last := conns[maxSessions]
	last.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := last.Read(greeting); err == nil {
		t.Error("a connection above the limit is served")
	}
	conns[0].Close()
	last.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := last.Read(greeting); err != nil {
		t.Errorf("after the end of another connection: %v", err)
	}
}

// Trouble of the relay is never the fault of the message, and its reply shows no path.
func TestSpoolCannotBeWritten(t *testing.T) {
	r := startRelay(t)
	if err := os.Rename(r.dir, r.dir+".away"); err != nil {
		t.Fatal(err)
	}
	err := smtp.SendMail(r.address, nil, sender, []string{"b@" + domain}, []byte(text))
	if code(err) != 451 || strings.Contains(err.Error(), "spool") {
		t.Errorf("%v, want 451 without a path", err)
	}
	if err := os.Rename(r.dir+".away", r.dir); err != nil {
		t.Fatal(err)
	}
	if err := smtp.SendMail(r.address, nil, sender, []string{"b@" + domain}, []byte(text)); err != nil {
		t.Errorf("once it can be written again: %v", err)
	}
}

func TestRepliesToFailures(t *testing.T) {
	for cause, want := range map[error]int{
		&os.PathError{Op: "write", Path: "/spool/secret", Err: syscall.ENOSPC}: 452,
		&os.PathError{Op: "write", Path: "/spool/secret", Err: syscall.EDQUOT}: 452,
		&os.PathError{Op: "write", Path: "/spool/secret", Err: syscall.EIO}:    451,
		gosmtp.ErrDataTooLarge: 552,
		io.ErrUnexpectedEOF:    451,
	} {
		q := newQueue(&config{spool: t.TempDir()}, &delivery.Sender{Log: func(string, ...any) {}})
		s := &submission{ctx: t.Context(), queue: q, from: sender, to: []string{"b@" + domain}}
		reply, ok := s.Data(iotest.ErrReader(cause)).(*gosmtp.SMTPError)
		if !ok || reply.Code != want || strings.Contains(reply.Message, "secret") {
			t.Errorf("%v: reply %v, want %d", cause, reply, want)
		}
	}
}

// A shutdown waits for the client that is sending a message, and refuses the next one.
func TestShutdownDuringASubmission(t *testing.T) {
	r := startRelay(t)
	r.DNS.Set(domain, resolver.Records{Fail: resolver.ServFail})
	c, err := smtp.Dial(r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Mail(sender))
	must(c.Rcpt("b@" + domain))
	data, err := c.Data()
	must(err)
	_, err = io.WriteString(data, text)
	must(err)
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	r.log.await("closing down")
	must(data.Close())
	if err := c.Mail(sender); code(err) != 421 {
		t.Errorf("the next message: %v, want 421", err)
	}
	must(c.Quit())
	must(<-stopped)
	stored := &spool{r.dir, func(string, ...any) {}}
	if messages, err := stored.load(); err != nil || len(messages) != 1 {
		t.Errorf("in the spool: %d messages, %v, want 1", len(messages), err)
	}
}

func TestFlags(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{},
		{"-spool", "x", "rest"},
		{"-spool", "x", "-listen", "192.0.2.1:25"},
		{"-spool", "x", "-listen", ":25"},
		{"-spool", "x", "-listen", "localhost"},
		{"-spool", "x", "-queue-time", "0s"},
		{"-spool", "x", "-hostname", "a b"},
		{"-spool", "x", "-hostname", "a\r\nb"},
		{"-spool", "x", "-smarthost", "192.0.2.1"},
		{"-spool", "x", "-smarthost", "a:b:c"},
		{"-spool", "x", "-smarthost", "smart.example:0"},
		{"-spool", "x", "-smarthost", "smart.example:65536"},
		{"-spool", "x", "-dns", "localhost"},
		{"-spool", "x", "-roots", empty},
		{"-spool", "x", "-allow", "192.0.2.1"},
		{"-spool", "x", "-redis", "localhost"},
		{"-spool", "x", "-report-from", "a@sender.example"},
		{"-spool", "x", "-report-organization", "Sender"},
		{"-spool", "x", "-report-organization", "Sender", "-report-contact", "a@sender.example"},
		{"-unknown"},
	} {
		var stderr strings.Builder
		if _, err := parse(args, &stderr); err == nil || errors.Is(err, flag.ErrHelp) || stderr.Len() == 0 {
			t.Errorf("%q: %v, want an error; stderr: %s", args, err, &stderr)
		}
	}
	c, err := parse([]string{"-spool", "x", "-smarthost", "smart.example:587"}, io.Discard)
	if err != nil || c.sender.SmartHost != "smart.example" || c.sender.Port != "587" {
		t.Errorf("-smarthost: %+v, %v", c, err)
	}
}

func TestHelp(t *testing.T) {
	var stderr strings.Builder
	if _, err := parse([]string{"-h"}, &stderr); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
	for line := range strings.Lines(stderr.String()) {
		if width := len(strings.ReplaceAll(line, "    \t", "        ")) - 1; width > 80 {
			t.Errorf("%d columns: %s", width, line)
		}
	}
}
