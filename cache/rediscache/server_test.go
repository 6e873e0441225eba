package rediscache_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/valkey-io/valkey-go"
)

// needs returns the path of a program of the server. Without it the test is skipped; in CI it
// fails.
func needs(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed: run .ci/install-servers", program)
	} else if err != nil {
		t.Skipf("%s is not installed: run .ci/install-servers", program)
	}
	return path
}

// A server is a redis-server on loopback that the test has started.
type server struct {
	t       testing.TB
	program string
	addr    string
	args    []string
	dir     string
	cmd     *exec.Cmd
	output  bytes.Buffer
}

// freePort returns a port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startServer starts a server without persistence, unless args say otherwise.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	port := strconv.Itoa(freePort(t))
	s := &server{t: t, program: needs(t, "redis-server"), addr: net.JoinHostPort("127.0.0.1", port), dir: t.TempDir()}
	s.args = append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", s.dir}, args...)
	t.Cleanup(s.kill)
	s.start()
	return s
}

// start starts the server, empty unless it has persistence.
func (s *server) start() {
	s.t.Helper()
	s.output.Reset()
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.await("it listens", func() bool {
		conn, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Second))
		fmt.Fprint(conn, "PING\r\n")
		_, err = conn.Read(make([]byte, 1)) // also an error that asks for a password
		return err == nil
	})
}

// await waits until ok returns true.
func (s *server) await(what string, ok func() bool) {
	s.t.Helper()
	if !eventually(ok) {
		s.t.Fatalf("not within 20 seconds: %s\n%s", what, s.output.String())
	}
}

// eventually reports whether ok returns true within 20 seconds.
func eventually(ok func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

// kill kills the server as a crash does.
func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.cmd = nil
}

// freeze stops the server as a partition does, until thaw.
func (s *server) freeze() { s.cmd.Process.Signal(syscall.SIGSTOP) }
func (s *server) thaw()   { s.cmd.Process.Signal(syscall.SIGCONT) }

func (s *server) option() valkey.ClientOption {
	return valkey.ClientOption{InitAddress: []string{s.addr}}
}

// do runs a command on the server, and returns its result as text.
func (s *server) do(args ...string) string {
	s.t.Helper()
	reply, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("%q: %v", args, err)
	}
	return reply
}

// says reports whether the reply to a command has text. If the command fails, it has not.
func (s *server) says(text string, args ...string) bool {
	reply, err := s.try(args...)
	return err == nil && strings.Contains(reply, text)
}

func (s *server) try(args ...string) (string, error) {
	c, err := valkey.NewClient(valkey.ClientOption{InitAddress: []string{s.addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		return "", err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	reply, err := c.Do(ctx, c.B().Arbitrary(args...).Build()).ToAny()
	if valkey.IsValkeyNil(err) {
		err = nil
	}
	return fmt.Sprint(reply), err
}

// open opens a store for which an absent key proves something at once.
func open(t testing.TB, option valkey.ClientOption, opts *rediscache.Options) *rediscache.Store {
	t.Helper()
	store, err := rediscache.OpenWithGrace(option, opts, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}
