//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// socketmapPort is where examples/postfix listens, at an address of its own.
const (
	socketmapPort = "8462"
	socketmapHost = 84
	senderHost    = 85 // of the Postfix that asks it
)

// startSocketmap builds and runs examples/postfix. It returns its process and address.
func startSocketmap(t *testing.T, w *world, args ...string) (*daemon, string) {
	t.Helper()
	dir := filepath.Join(w.dir, "socketmap")
	program := filepath.Join(dir, "mtasts-postfix")
	write(t, filepath.Join(dir, "config"), "network "+w.net.String()+"\nroots "+w.roots+"\n")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	build.Dir = "../../examples/postfix"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building examples/postfix: %v\n%s", err, out)
	}
	addr := net.JoinHostPort(w.addr(socketmapHost), socketmapPort)
	// The shell notes its process id, which becomes the program's, for a test that kills it.
	d := startDaemon(t, dir, append([]string{"/bin/sh", "-c", `echo $$ >"$0.pid" && exec "$0" "$@"`,
		program, "-listen", addr, "-listen", "unix:" + program + ".sock",
		"-db", filepath.Join(dir, "policies.db"), "-config", filepath.Join(dir, "config")}, args...)...)
	d.listening(t, addr)
	return d, addr
}

// senderCF is the configuration of a Postfix that sends. It tries each message once. Without
// inet_interfaces it takes the MX host on ::1 for itself.
const senderCF = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
hash_queue_names = defer
maillog_file = /dev/stdout
myhostname = sender.example
notify_classes =
smtpd_peername_lookup = no
inet_interfaces = 127.0.0.1
mydestination =
mynetworks = 127.0.0.0/8
local_recipient_maps =
smtp_tls_security_level = may
smtp_dns_support_level = dnssec
smtp_tls_CAfile = %[2]s
smtp_tls_policy_maps = socketmap:inet:%[3]s:mta-sts
minimal_backoff_time = 1h
queue_run_delay = 1h
`

// startSender starts a Postfix that delivers by the DNS server dns, with policies from a
// socketmap server. Postfix asks the servers of /etc/resolv.conf, so it runs in a mount
// namespace in which this file is another.
func startSender(t *testing.T, w *world, socketmap, dns string) (p *postfix, addr string) {
	t.Helper()
	p = &postfix{dir: filepath.Join(w.dir, "sender")}
	p.directories(t)
	addr = net.JoinHostPort(w.addr(senderHost), "25")
	dns, _, err := net.SplitHostPort(dns)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.path("resolv.conf"), "nameserver "+dns+"\noptions trust-ad\n")
	write(t, p.path("etc/main.cf"), fmt.Sprintf(senderCF, p.dir, w.roots, socketmap))
	write(t, p.path("etc/master.cf"), masterCF+"smtp unix - - n - - smtp\n"+addr+" inet n - n - - smtpd\n")
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(p.path("etc/main.cf"), old, old); err != nil {
		t.Fatal(err)
	}
	p.daemon = startDaemon(t, p.dir, "/usr/bin/unshare", "--mount", "/bin/sh", "-c",
		`mount --bind "$1" /etc/resolv.conf && exec "$2" -c "$3" -s`, "sh",
		p.path("resolv.conf"), postfixProgram, p.path("etc"))
	p.listening(t, addr)
	return p, addr
}

// submitMessage hands a message to the sender.
func submitMessage(t *testing.T, addr, to string) {
	t.Helper()
	message := []byte("Subject: hello\r\n\r\nGood morning.\r\n")
	if err := smtp.SendMail(addr, nil, "sender@sender.example", []string{to}, message); err != nil {
		t.Fatal(err)
	}
}

// outcome waits until the sender has tried a recipient, and returns what its log says:
// status is "sent", "deferred" or "bounced".
func (p *postfix) outcome(t *testing.T, to string) (status, line string) {
	t.Helper()
	pattern := regexp.MustCompile(`(?m)^.*to=<` + regexp.QuoteMeta(to) + `>.* status=(\w+) .*$`)
	eventually(t, "the sender has tried "+to, func() error {
		log, err := os.ReadFile(p.log)
		if err != nil {
			return err
		}
		m := pattern.FindStringSubmatch(string(log))
		if m == nil {
			return fmt.Errorf("no line about %s", to)
		}
		line, status = strings.TrimSpace(m[0]), m[1]
		return nil
	})
	return status, line
}
