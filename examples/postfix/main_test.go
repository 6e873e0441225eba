package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
)

// The test binary is also the program, for the tests that need a process, and the floor of the
// benchmark.
const asProgram = "MTASTS_POSTFIX_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "1":
		os.Unsetenv(asProgram)
		main()
	case "floor":
		serveFloor(os.Args[1])
	}
	os.Exit(m.Run())
}

// A program is the running program.
type program struct {
	cmd    *exec.Cmd
	log    bytes.Buffer
	states *bufio.Scanner // what it tells systemd
}

// startProgram runs the program as systemd would, with sockets that are open already.
func startProgram(t *testing.T, sockets []*os.File, names string, args ...string) *program {
	t.Helper()
	dir := t.TempDir()
	notices, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { notices.Close() })
	notices.SetReadDeadline(time.Now().Add(20 * time.Second))
	// LISTEN_PID is known to the process only.
	script := `export LISTEN_PID=$$; exec "$0" "$@"`
	args = append([]string{"-c", script, os.Args[0], "-db", filepath.Join(dir, "db"), "-dane", "off", "-dns", "127.0.0.1:9"}, args...)
	p := &program{cmd: exec.Command("/bin/sh", args...), states: bufio.NewScanner(notices)}
	p.cmd.ExtraFiles = sockets
	p.cmd.Stderr = &p.log
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "NOTIFY_SOCKET="+notices.LocalAddr().String())
	if sockets != nil {
		p.cmd.Env = append(p.cmd.Env, "LISTEN_FDS="+string(rune('0'+len(sockets))), "LISTEN_FDNAMES="+names)
	}
	// A datagram holds a state without a line end.
	p.states.Split(func(data []byte, _ bool) (int, []byte, error) {
		if len(data) == 0 {
			return 0, nil, nil
		}
		return len(data), data, nil
	})
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	p.state(t, "READY=1")
	return p
}

func (p *program) state(t *testing.T, want string) {
	t.Helper()
	if !p.states.Scan() || !strings.HasPrefix(p.states.Text(), want) {
		t.Fatalf("state %q, %v; want %q\n%s", p.states.Text(), p.states.Err(), want, &p.log)
	}
}

func (p *program) end(t *testing.T) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &p.log)
	}
}

func TestSocketActivation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	var files []*os.File
	var addrs []string
	for _, address := range []string{"127.0.0.1:0", "unix:" + path, "127.0.0.1:0"} {
		l, err := listenOn(address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		file, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		addrs = append(addrs, l.Addr().String())
	}
	config := filepath.Join(t.TempDir(), "config")
	write(t, config, "exempt a.example\n")
	p := startProgram(t, files, "socketmap:socketmap:http", "-config", config)

	for i, network := range []string{"tcp", "unix"} {
		conn, r := dial(t, network, addrs[i])
		if got := ask(t, conn, r, "mta-sts [192.0.2.1]"); got != notFoundReply {
			t.Error(got)
		}
	}
	resp, err := http.Get("http://" + addrs[2] + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "ok\n" {
		t.Errorf("%s %q", resp.Status, body)
	}

	// A wrong file changes nothing, and the server goes on.
	write(t, config, "exempt a.example\nexmpt b.example\n")
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.state(t, "RELOADING=1\nMONOTONIC_USEC=")
	p.state(t, "READY=1")
	conn, r := dial(t, "tcp", addrs[0])
	ask(t, conn, r, "mta-sts [192.0.2.1]")
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.state(t, "STOPPING=1")
	p.end(t)
	if !strings.Contains(p.log.String(), `config:2: exmpt \"b.example\": no such keyword`) {
		t.Error(p.log.String())
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("the socket of systemd was removed:", err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()

	p := startProgram(t, nil, "", "-listen", "unix:"+path)
	conn, r := dial(t, "unix", path)
	if got := ask(t, conn, r, "mta-sts .example.com"); got != notFoundReply {
		t.Error(got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := listenOn("unix:" + path); err == nil {
		t.Error("a socket in use was replaced")
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "precious")
	if _, err := listenOn("unix:" + file); err == nil {
		t.Error("it listens where a file is")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("a file was replaced: %q, %v", text, err)
	}
	p.end(t)
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left")
	}
}

func TestSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	pem := string(testpki.Must(testpki.New()).PEM())
	write(t, "a", pem)
	write(t, "b", pem)
	write(t, "none", "no certificate")
	file := filepath.Join(t.TempDir(), "config")
	write(t, file, "# comment\nexempt B\u00dcCHER.example.\nobserve * # all others\n\ntesting may\nnetwork 10.0.0.0/8\nquota 64\nroots a\n")
	s, err := readSettings(file)
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := s.action("xn--bcher-kva.example"); !ok || a != mtasts.ActionExempt {
		t.Error(a, ok)
	}
	if a, ok := s.action("other.example"); !ok || a != mtasts.ActionObserve {
		t.Error(a, ok)
	}
	if s.testing != "may" || s.quota != 64<<20 || len(s.networks) != 1 || s.roots != "a" || s.pool == nil {
		t.Errorf("%+v", s)
	}
	for text, want := range map[string]bool{"quota 64\nroots a\n": false, "quota 64\nroots a\nexempt a.example\n": false,
		"quota 65\nroots a\n": true, "quota 64\nroots b\n": true, "quota 64\nroots a\nnetwork 10.0.0.0/8\n": true} {
		write(t, file, text)
		now, err := readSettings(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := now.needsRestart(&settings{quota: 64 << 20, roots: "a"}); got != want {
			t.Errorf("%q needs a restart: %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"exempt", "exempt a b", "exempt a/b", "exempt .example", "nonsense x", "testing secure",
		"network 10.0.0.0", "quota 0", "quota 1G", "roots a\nroots b", "roots none", "roots missing", "exempt a.example\nobserve A.example"} {
		write(t, file, text)
		if _, err := readSettings(file); err == nil || !strings.Contains(err.Error(), file+":") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestExitStatus(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	write(t, bad, "nonsense x\n")
	for want, args := range map[int][]string{
		0: {"-h"},
		1: {"-db", "/nonexistent/db", "-listen", "127.0.0.1:0"},
		2: {"-config", bad},
	} {
		if got := run(t.Context(), nil, args, io.Discard); got != want {
			t.Errorf("%q: %d, want %d", args, got, want)
		}
	}
	for _, args := range [][]string{{"-nonsense"}, {"argument"}, {"-dns", "localhost"}, {"-config", "/nonexistent"}, {"-redis", "localhost"}} {
		if got := run(t.Context(), nil, args, io.Discard); got != 2 {
			t.Errorf("%q: %d, want 2", args, got)
		}
	}
}

// The manual page has each flag of the help, and each keyword.
func TestDocumentation(t *testing.T) {
	var help bytes.Buffer
	if _, err := parseFlags([]string{"-h"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(help.String(), -1)
	if len(flags) < 8 {
		t.Fatalf("%d flags in\n%s", len(flags), &help)
	}
	page, err := os.ReadFile("mtasts-postfix.8")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range flags {
		if !strings.Contains(string(page), ".It Fl "+f[1]) {
			t.Errorf("the manual page has no -%s", f[1])
		}
	}
	for _, keyword := range []string{"exempt", "observe", "testing", "roots", "network", "quota"} {
		if !strings.Contains(string(page), ".It Cm "+keyword) {
			t.Errorf("the manual page has no keyword %s", keyword)
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
