//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// The programs, where Debian's packages put them.
const (
	nginxProgram    = "/usr/sbin/nginx"
	pdnsProgram     = "/usr/sbin/pdns_server"
	pdnsutilProgram = "/usr/bin/pdnsutil"
	postfixProgram  = "/usr/lib/postfix/sbin/master"
)

// A world is an Internet of its own on loopback: the publishers, MX hosts and
// attackers of publishers.go, length.go, mx.go and victims.go. Its servers are on their usual ports, so that a
// sender needs to be told only the DNS server and the authority.
type world struct {
	net     netip.Prefix // all of its addresses, but for ::1
	ca      *testpki.CA  // trusted, for policy hosts and MX hosts alike
	unknown *testpki.CA  // trusted by no one
	dns     *pdns
	web     *nginx
	mta     *postfix

	roots    string            // the file with the certificate of ca
	policies map[string]string // by domain: the policy file, where it is one
	broken   map[string]string // by fault: the address of a web server that has it
}

// newWorld starts the servers and stops them at the end of the test. There is
// one world at a time: a second one waits until the first has ended.
func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests bind ports 25, 53, 80 and 443 and start Postfix: run them as root")
	}
	for _, program := range []string{nginxProgram, pdnsProgram, pdnsutilProgram, postfixProgram} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: install the servers with .ci/install-servers", err)
		}
	}
	// The servers run as users of their own and read what is written here.
	old := syscall.Umask(0o022)
	t.Cleanup(func() { syscall.Umask(old) })
	dir, err := os.MkdirTemp("", "mtasts-e2e-") // t.TempDir lets no other user in
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})

	// A network that no other run has: what a killed run may have left
	// behind, or another run at the same time, is not in the way.
	a, b := byte(1+rand.IntN(254)), byte(rand.IntN(256))
	w := &world{
		net:      netip.PrefixFrom(netip.AddrFrom4([4]byte{127, a, b, 0}), 24),
		ca:       testpki.Must(testpki.New()),
		unknown:  testpki.Must(testpki.New()),
		roots:    filepath.Join(dir, "roots.pem"),
		policies: map[string]string{},
		broken:   map[string]string{},
	}
	write(t, w.roots, string(w.ca.PEM()))
	w.dns = newPDNS(t, filepath.Join(dir, "pdns"), w.addr(53))
	s := &setup{T: t, world: w, dir: dir}
	s.lock()
	s.publishers()
	s.lengthless()
	s.mxHosts()
	s.victims()
	s.brokenHosts()

	w.dns.start(t)
	w.web = startNginx(t, filepath.Join(dir, "nginx"), w.addr(80), s.file(testpki.Must(w.ca.Issue("fallback.example"))), s.vhosts)
	w.mta = startPostfix(t, filepath.Join(dir, "postfix"), s.domains, s.listeners)
	return w
}

// publish changes the policy of a domain that keeps it in a file, and then
// announces it under a new id, in the order of RFC 8461, Section 8.1.
func (w *world) publish(t *testing.T, domain, id, policy string) {
	t.Helper()
	file, ok := w.policies[domain]
	if !ok {
		t.Fatalf("%s does not keep its policy in a file", domain)
	}
	write(t, file, policy)
	w.dns.replace(t, "_mta-sts."+domain, "TXT", txt("v=STSv1; id="+id+";"))
}

// addrOf returns the address of an MX host.
func (w *world) addrOf(t *testing.T, host string) string {
	t.Helper()
	addrs, err := w.dns.resolver().LookupNetIP(t.Context(), "ip", host+".")
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0].String()
}

func (w *world) addr(host byte) string {
	ip := w.net.Addr().As4()
	ip[3] = host
	return netip.AddrFrom4(ip).String()
}

// A setup collects what a world is to consist of.
type setup struct {
	*testing.T
	*world
	dir       string
	vhosts    []vhost
	listeners []listener
	domains   []string // that receive mail
}

// mx adds an MX host at an address of its own and returns the address.
func (s *setup) mx(host string, cert tls.Certificate, opts ...string) string {
	addr := s.addr(byte(100 + len(s.listeners)))
	s.listen(host, addr, cert, opts...)
	return addr
}

func (s *setup) listen(host, addr string, cert tls.Certificate, opts ...string) {
	s.listeners = append(s.listeners, listener{host: host, addr: addr, cert: s.file(cert), opts: opts})
}

// site adds a virtual host of the web server.
func (s *setup) site(h vhost) { s.vhosts = append(s.vhosts, h) }

// files is the directory from which a virtual host serves.
func (s *setup) files(host string) string {
	return filepath.Join(s.dir, "www", host)
}

// policyFile puts a policy where a virtual host that serves files(host) has it.
func (s *setup) policyFile(host, domain, policy string) {
	s.policies[domain] = filepath.Join(s.files(host), ".well-known", "mta-sts.txt")
	write(s.T, s.policies[domain], policy)
}

func (s *setup) zone(name string, records ...string) { s.dns.load(s.T, name, records...) }

func (s *setup) receives(domain string) { s.domains = append(s.domains, domain) }

// file saves a certificate with its key as one PEM file, the key first, which
// both nginx and Postfix read.
func (s *setup) file(cert tls.Certificate) string {
	chain, key, err := testpki.PEM(cert)
	if err != nil {
		s.Fatal(err)
	}
	path := filepath.Join(s.dir, "certs", fmt.Sprintf("%x.pem", cert.Leaf.SerialNumber))
	write(s.T, path, string(key)+string(chain))
	return path
}

// lock makes the address ::1 ours until the end of the test. It is the one
// address that runs share, and two Postfixes can listen on it at once (they
// set SO_REUSEPORT), each getting mail that is meant for the other.
func (s *setup) lock() {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "mtasts-e2e.lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { lock.Close() })
	// A world stands as long as its slowest test, which is more than patience.
	within(s.T, 5*patience, "other runs of these tests have ended", func() error {
		return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	})
}

// policy returns the text of a policy file, with LF lines.
func policy(mode string, maxAge int, mx ...string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "version: STSv1\nmode: %s\n", mode)
	for _, pattern := range mx {
		fmt.Fprintf(&text, "mx: %s\n", pattern)
	}
	fmt.Fprintf(&text, "max_age: %d\n", maxAge)
	return text.String()
}
