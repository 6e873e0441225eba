//go:build e2e

package e2e

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long a server may take to start, to stop or to deliver a message. It
// is far more than any of them needs: it only turns a hang into a failure.
const patience = 20 * time.Second

// guard runs a server until standard input ends, which the test binary holds open. So no
// server outlives a test that panicked or was killed.
const guard = `exec 3<&0
"$@" 3<&- & server=$!
{ read _; kill $server; } <&3 3<&- &
wait $server`

// A daemon is one running server.
type daemon struct {
	name   string
	log    string // the file with its output
	stdin  io.Closer
	exited chan struct{} // closed when it has ended
}

// startDaemon runs argv, which must stay in the foreground. The server is stopped at the
// end of the test. Its log is shown if the test has failed.
func startDaemon(t *testing.T, dir string, argv ...string) *daemon {
	t.Helper()
	name := filepath.Base(argv[0])
	d := &daemon{name: name, log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", guard, "guard"}, argv...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if d.stdin, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait() // callers see that the server has ended; the log has the reason
		close(d.exited)
	}()
	t.Cleanup(func() {
		d.stop(t)
		if t.Failed() {
			t.Logf("the log of %s ends:\n%s", d.name, tail(d.log))
		}
	})
	return d
}

// stop ends the server and waits until it has ended.
func (d *daemon) stop(t *testing.T) {
	d.stdin.Close()
	select {
	case <-d.exited:
	case <-time.After(patience):
		t.Errorf("%s did not stop within %v", d.name, patience)
	}
}

// listening waits until the server accepts connections at addr, which is host:port. It fails
// the test at once if the server has ended.
func (d *daemon) listening(t *testing.T, addr string) {
	t.Helper()
	eventually(t, d.name+" listens", func() error {
		select {
		case <-d.exited:
			t.Fatalf("%s has ended:\n%s", d.name, tail(d.log))
		default:
		}
		conn, err := net.DialTimeout("tcp", addr, patience)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// tail returns the end of a file.
func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-16<<10):])
}

// eventually calls try until it returns nil; what names the condition.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v until %s: %v", patience, what, err)
		}
	}
}

// write writes text to a file that every server can read. It makes the directories.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
