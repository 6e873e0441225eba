//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take for anything: to start, to stop, to
// deliver a message. It is far more than it needs, since it only has to turn
// a hang into a failure.
const patience = 20 * time.Second

// guard runs a server and stops it when file descriptor 3 is closed. The other
// end is held by the test binary, so that no server outlives a test that
// panicked, timed out or was killed. $1 is the file for the server's process
// id, the rest is its command.
const guard = `
pidfile=$1; shift
"$@" 3<&- &
server=$!
echo $server >"$pidfile"
{ read -r _ <&3; kill $server; kill -CONT $server; } &
reader=$!
wait $server; status=$?
kill $reader 2>/dev/null
exit $status
`

// A daemon is one running server.
type daemon struct {
	name    string
	log     string        // the file with what it says
	pidfile string        // of the server itself, not of its guard
	life    *os.File      // the server runs as long as this is open
	exited  chan struct{} // closed when it has ended
}

// startDaemon runs argv, which must stay in the foreground. The server is
// stopped at the end of the test; its log is shown when the test has failed.
func startDaemon(t *testing.T, dir string, argv ...string) *daemon {
	t.Helper()
	name := filepath.Base(argv[0])
	d := &daemon{
		name:    name,
		log:     filepath.Join(dir, name+".log"),
		pidfile: filepath.Join(dir, name+".guarded"),
		exited:  make(chan struct{}),
	}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	held, life, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	d.life = life

	cmd := exec.Command("/bin/sh", append([]string{"-c", guard, "guard", d.pidfile}, argv...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{held}
	// A group of its own: an interrupt typed at the terminal must reach the
	// test, and the server only through the guard.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		life.Close()
		t.Fatal(err)
	}
	go func() {
		cmd.Wait() // whoever needs the server sees that it has ended, and the log says why
		close(d.exited)
	}()
	t.Cleanup(func() {
		d.stop(t)
		if t.Failed() {
			t.Logf("%s said:\n%s", d.name, d.said())
		}
	})
	return d
}

// stop ends the server and waits until it has ended.
func (d *daemon) stop(t *testing.T) {
	d.life.Close()
	select {
	case <-d.exited:
	case <-time.After(patience):
		t.Errorf("%s did not stop within %v", d.name, patience)
		d.signal(t, syscall.SIGKILL)
	}
}

// pause stops the server without a word: connections are taken by the kernel
// and never served, queries stay without an answer.
func (d *daemon) pause(t *testing.T) {
	t.Helper()
	d.signal(t, syscall.SIGSTOP)
	// Each thread stops when it sees the signal, and may answer before.
	threads := fmt.Sprintf("/proc/%d/task/*/stat", d.pid(t))
	eventually(t, d.name+" stands still", func() error {
		files, err := filepath.Glob(threads)
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no threads: %v", err)
		}
		for _, file := range files {
			stat, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(stat), ") T ") {
				return fmt.Errorf("%s: %s, %v", file, stat, err)
			}
		}
		return nil
	})
}

// resume lets a paused server go on.
func (d *daemon) resume(t *testing.T) {
	t.Helper()
	d.signal(t, syscall.SIGCONT)
}

// signal sends a signal to the server itself.
func (d *daemon) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(d.pid(t), sig); err != nil {
		t.Fatalf("signal %v to %s: %v", sig, d.name, err)
	}
}

func (d *daemon) pid(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(d.pidfile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// ready waits until try returns nil, and fails the test at once if the server
// has ended instead.
func (d *daemon) ready(t *testing.T, try func() error) {
	t.Helper()
	eventually(t, d.name+" answers", func() error {
		err := try()
		select {
		case <-d.exited:
			t.Fatalf("%s has ended:\n%s", d.name, d.said())
		default:
		}
		return err
	})
}

// said returns the end of what the server has written.
func (d *daemon) said() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-8<<10):])
}

// eventually calls try until it returns nil; what names the condition.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	within(t, patience, what, try)
}

// within is eventually with a time limit of its own.
func within(t *testing.T, limit time.Duration, what string, try func() error) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %v until %s: %v", limit, what, err)
		}
	}
}

// write puts text into a file, with its directories, readable by every server.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
