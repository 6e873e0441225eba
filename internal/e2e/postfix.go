//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A listener is one MX host: an address on which Postfix answers under a name
// and with a certificate of its own.
type listener struct {
	host string   // the name of the MX, in its greeting and in Received lines
	addr string   // IP address
	cert string   // PEM file
	opts []string // further settings for this address: "name=value"
}

// postfix is one Postfix that receives for all MX hosts of the world: one
// smtpd service in master.cf for each listener.
type postfix struct {
	*daemon
	dir string
}

// startPostfix receives mail for domains on the listeners. Any local part is
// good; a message for another domain is refused.
func startPostfix(t *testing.T, dir string, domains []string, listeners []listener) *postfix {
	t.Helper()
	p := &postfix{dir: dir}
	p.directories(t)

	var mailboxes strings.Builder
	for _, domain := range domains {
		fmt.Fprintf(&mailboxes, "@%s %s/\n", domain, domain)
	}
	write(t, p.path("etc", "mailboxes"), mailboxes.String())
	write(t, p.path("etc", "main.cf"), strings.Join([]string{
		"compatibility_level = 3.6",
		"queue_directory = " + p.path("queue"),
		"data_directory = " + p.path("data"),
		"myhostname = receiver.example",
		// There is no syslog.
		"maillog_file = " + p.path("mail.log"),
		"maillog_file_prefixes = " + dir,
		"notify_classes =",           // no letters to a postmaster who is not here
		"smtpd_peername_lookup = no", // the client is 127.0.0.1: no DNS
		"mydestination =",
		"local_recipient_maps =",
		"alias_maps =",
		"alias_database =",
		"smtpd_relay_restrictions = reject_unauth_destination",
		"virtual_mailbox_domains = " + strings.Join(domains, " "),
		"virtual_mailbox_base = " + p.path("mail"),
		"virtual_mailbox_maps = texthash:" + p.path("etc", "mailboxes"),
		"virtual_uid_maps = static:65534",
		"virtual_gid_maps = static:65534",
		"smtpd_tls_security_level = may",
		"smtpd_tls_received_header = yes",
		"",
	}, "\n"))

	var master strings.Builder
	for _, l := range listeners {
		fmt.Fprintf(&master, "%s inet n - n - - smtpd\n  -o myhostname=%s\n", net.JoinHostPort(l.addr, "25"), l.host)
		for _, opt := range append([]string{"smtpd_tls_chain_files=" + l.cert}, l.opts...) {
			fmt.Fprintf(&master, "  -o { %s }\n", opt)
		}
	}
	for _, service := range []string{
		"cleanup unix n - n - 0 cleanup",
		"qmgr unix n - n 300 1 qmgr",
		"tlsmgr unix - - n 1000? 1 tlsmgr",
		"rewrite unix - - n - - trivial-rewrite",
		"bounce unix - - n - 0 bounce",
		"defer unix - - n - 0 bounce",
		"error unix - - n - - error",
		"retry unix - - n - - error",
		"proxymap unix - - n - - proxymap",
		"virtual unix - n n - - virtual",
		"anvil unix - - n - 1 anvil",
		"postlog unix-dgram n - n - 1 postlogd",
	} {
		fmt.Fprintln(&master, service)
	}
	write(t, p.path("etc", "master.cf"), master.String())

	// Postfix reads a file over and over while it is younger than two seconds.
	old := time.Now().Add(-time.Minute)
	for _, name := range []string{"main.cf", "mailboxes"} {
		if err := os.Chtimes(p.path("etc", name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range listeners {
		l.waitUntilFree(t)
	}
	// master itself, not "postfix start", which checks and repairs the whole
	// installation first and then leaves master behind, out of the guard's sight.
	p.daemon = startDaemon(t, dir, postfixProgram, "-c", p.path("etc"), "-s")
	t.Cleanup(func() {
		if log, err := os.ReadFile(p.path("mail.log")); err == nil && t.Failed() {
			t.Logf("Postfix said:\n%s", log[max(0, len(log)-16<<10):])
		}
	})
	// master binds every address before it serves the first.
	p.ready(t, func() error { return greets(listeners[0].addr) })
	return p
}

// waitUntilFree gives a server of a run that was killed the time to end. That
// an address is taken, or that there is none, must be found out here: Postfix
// tries for 20 seconds and then ends without a word.
func (l listener) waitUntilFree(t *testing.T) {
	t.Helper()
	addr := net.JoinHostPort(l.addr, "25")
	eventually(t, addr+" is free", func() error {
		probe, err := net.Listen("tcp", addr)
		if err == nil {
			return probe.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("no place for the MX host %s: %v", l.host, err)
		}
		return err
	})
}

// greets tells whether addr answers with a 220.
func greets(addr string) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(addr, "25"), patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	greeting := make([]byte, 512)
	n, err := conn.Read(greeting)
	if !bytes.HasPrefix(greeting[:n], []byte("220 ")) {
		return fmt.Errorf("no greeting from %s: %q, %v", addr, greeting[:n], err)
	}
	fmt.Fprintf(conn, "QUIT\r\n")
	return nil
}

func (p *postfix) path(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

// directories makes what "postfix check" would make: the queue belongs to the
// user postfix inside a directory of root's, the mail to nobody.
func (p *postfix) directories(t *testing.T) {
	t.Helper()
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	mkdir := func(path string, mode fs.FileMode, uid, gid int) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(path, mode), os.Chown(path, uid, gid)); err != nil {
			t.Fatal(err)
		}
	}
	mkdir(p.path("etc"), 0o755, 0, 0)
	mkdir(p.path("queue"), 0o755, 0, 0)
	mkdir(p.path("queue", "pid"), 0o755, 0, 0)
	for _, name := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold",
		"incoming", "maildrop", "private", "public", "saved", "trace"} {
		mkdir(p.path("queue", name), 0o700, uid, gid)
	}
	mkdir(p.path("data"), 0o700, uid, gid)
	mkdir(p.path("mail"), 0o755, 65534, 65534)
}
