//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A listener is one MX host: an address at which Postfix has a name and a certificate of
// its own.
type listener struct {
	host string   // the name of the MX, in its greeting and in Received fields
	addr string   // host:port
	cert string   // PEM file; "" for none
	opts []string // further settings for this address: "name=value"
}

// postfix is one Postfix that receives for all MX hosts of the world: one smtpd service
// in master.cf for each listener.
type postfix struct {
	*daemon
	dir string
}

// mainCF accepts any local part of our domains and puts all messages into one maildir. It
// refuses other domains. No postmaster wants notices, and no DNS server has the name of the
// client. The queues that mailbox reads are flat directories.
const mainCF = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
hash_queue_names = defer
maillog_file = /dev/stdout
myhostname = receiver.example
notify_classes =
smtpd_peername_lookup = no
mydestination =
local_recipient_maps =
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = %[2]s
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
`

// masterCF is followed by the listeners.
const masterCF = `cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix receives mail for domains on the listeners.
func startPostfix(t *testing.T, dir string, domains []string, listeners []listener) *postfix {
	t.Helper()
	p := &postfix{dir: dir}
	p.directories(t)
	write(t, p.path("etc/main.cf"), fmt.Sprintf(mainCF, dir, strings.Join(domains, " ")))
	// Postfix reads a file over and over while it is younger than two seconds.
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(p.path("etc/main.cf"), old, old); err != nil {
		t.Fatal(err)
	}
	master := masterCF
	for _, l := range listeners {
		master += fmt.Sprintf("%s inet n - n - - smtpd\n  -o myhostname=%s\n", l.addr, l.host)
		for _, opt := range append(l.opts, "smtpd_tls_chain_files="+l.cert) {
			master += fmt.Sprintf("  -o { %s }\n", opt)
		}
		// The server of a run that was killed may still be ending. Postfix itself would try
		// for 20 seconds and then exit without a message.
		eventually(t, l.addr+" is free", func() error {
			probe, err := net.Listen("tcp", l.addr)
			if err == nil {
				err = probe.Close()
			}
			return err
		})
	}
	write(t, p.path("etc/master.cf"), master)

	// "postfix start" would check and repair the whole installation, and leave master as a
	// daemon that the test could not stop.
	p.daemon = startDaemon(t, dir, postfixProgram, "-c", p.path("etc"), "-s")
	p.listening(t, listeners[len(listeners)-1].addr) // master binds addresses in this order
	return p
}

func (p *postfix) path(name string) string { return filepath.Join(p.dir, name) }

// directories makes what "postfix check" would make: the queue belongs to the user postfix
// inside a directory of root's, the mail to nobody.
func (p *postfix) directories(t *testing.T) {
	t.Helper()
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	mkdir := func(name string, uid, gid int) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(p.path(name), 0o755), os.Chown(p.path(name), uid, gid)); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("queue/pid", 0, 0)
	for _, name := range strings.Fields("active bounce corrupt defer deferred flush hold incoming private public trace") {
		mkdir("queue/"+name, uid, gid)
	}
	mkdir("data", uid, gid)
	mkdir("mail", 65534, 65534)
}
