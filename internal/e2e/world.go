//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
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

// webHost is the last octet of the web server's usual address.
const webHost = 80

// A world is an Internet of its own on loopback. Its servers have their usual ports: a
// sender needs to be told only the DNS server, the network and the certificate authority.
type world struct {
	net     netip.Prefix // all addresses but ::1
	ca      *testpki.CA  // trusted, for policy hosts and MX hosts alike
	unknown *testpki.CA  // not trusted
	dns     *pdns
	mta     *postfix
	dir     string
	roots   string            // the file with the certificate of ca
	mxAddr  map[string]string // by the name of an MX host
	broken  map[string]string // by fault: the address of a web server that has it
}

// newWorld starts the servers and stops them at the end of the test. There is one world at
// a time: a second one waits until the first has ended.
func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests bind ports 25, 53 and 443 and start Postfix: run them as root")
	}
	for _, program := range []string{nginxProgram, pdnsProgram, pdnsutilProgram, postfixProgram} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: install the servers with .ci/install-servers", err)
		}
	}
	// The servers run as users of their own and read what is written here. The directory of
	// t.TempDir is closed to them.
	old := syscall.Umask(0o022)
	t.Cleanup(func() { syscall.Umask(old) })
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("mtasts-e2e-%d", rand.Uint64()))
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})

	// A network at random keeps this run apart from one at the same time, and from servers
	// that a killed run has left.
	a, b := byte(1+rand.IntN(254)), byte(rand.IntN(256))
	w := &world{
		net:     netip.PrefixFrom(netip.AddrFrom4([4]byte{127, a, b, 0}), 24),
		ca:      testpki.Must(testpki.New()),
		unknown: testpki.Must(testpki.New()),
		dir:     dir,
		roots:   filepath.Join(dir, "roots.pem"),
		mxAddr:  map[string]string{},
		broken:  map[string]string{},
	}
	write(t, w.roots, string(w.ca.PEM()))
	s := &setup{T: t, world: w}
	s.lock()
	s.publishers()
	s.lengthless()
	s.mxHosts()
	s.victims()
	s.site(vhost{names: s.policyHosts})

	w.dns = startPDNS(t, filepath.Join(dir, "pdns"), w.addr(53), s.records)
	startNginx(t, filepath.Join(dir, "nginx"), w.addr(webHost), s.cert("fallback.example"), s.vhosts)
	w.mta = startPostfix(t, filepath.Join(dir, "postfix"), s.domains, s.listeners)
	return w
}

// publish changes the policy file of a domain and then announces it with a new id, in the
// order of RFC 8461, Section 8.1.
func (w *world) publish(t *testing.T, domain, id, policy string) {
	t.Helper()
	write(t, w.policyFile(domain), policy)
	w.dns.replace(t, "_mta-sts."+domain, "TXT", txt("v=STSv1; id="+id+";"))
}

// policyFile is where nginx has the policy of a domain.
func (w *world) policyFile(domain string) string {
	return filepath.Join(w.dir, "nginx", "www", "mta-sts."+domain, ".well-known", "mta-sts.txt")
}

// addr returns an address of the network by its last octet.
func (w *world) addr(host byte) string {
	ip := w.net.Addr().As4()
	ip[3] = host
	return netip.AddrFrom4(ip).String()
}

// A setup collects what a world is to consist of.
type setup struct {
	*testing.T
	*world
	records     []string // lines of the zone file of the root
	vhosts      []vhost
	policyHosts []string // names that share a virtual host
	listeners   []listener
	domains     []string // that receive mail
}

// domain adds a domain that receives mail at mx and has a TXT record for MTA-STS, unless
// record is "".
func (s *setup) domain(name, mx, record string) {
	s.domains = append(s.domains, name)
	s.zone(name + " MX 10 " + mx)
	if record != "" {
		s.zone("_mta-sts." + name + " TXT " + txt(record))
	}
}

// enforces adds a domain with a policy in mode enforce that lists mx.
func (s *setup) enforces(domain, mx string) {
	s.domain(domain, mx, "v=STSv1; id=1;")
	s.zone("mta-sts." + domain + " A " + s.addr(webHost))
	s.policyHosts = append(s.policyHosts, "mta-sts."+domain)
	write(s.T, s.policyFile(domain), policy("enforce", 604800, mx))
}

// mx adds an MX host at an address of its own.
func (s *setup) mx(host, cert string, opts ...string) {
	addr := s.addr(byte(100 + len(s.listeners)))
	s.listen(host, addr, cert, opts...)
	s.zone(host + " A " + addr)
	s.mxAddr[host] = addr
}

func (s *setup) listen(host, addr, cert string, opts ...string) {
	s.listeners = append(s.listeners, listener{host: host, addr: net.JoinHostPort(addr, "25"), cert: cert, opts: opts})
}

// site adds a virtual host of the web server, with a good certificate if it has none.
func (s *setup) site(h vhost) {
	if h.certs == nil {
		h.certs = []string{s.cert(h.names...)}
	}
	s.vhosts = append(s.vhosts, h)
}

func (s *setup) zone(records ...string) { s.records = append(s.records, records...) }

// cert returns the file of a good certificate.
func (s *setup) cert(names ...string) string { return s.file(testpki.Must(s.ca.Issue(names...))) }

// file saves a certificate with its key as one PEM file, the key first, which both nginx
// and Postfix read.
func (s *setup) file(cert tls.Certificate) string {
	chain, key, err := testpki.PEM(cert)
	if err != nil {
		s.Fatal(err)
	}
	path := filepath.Join(s.dir, "certs", fmt.Sprintf("%x.pem", cert.Leaf.SerialNumber))
	write(s.T, path, string(key)+string(chain))
	return path
}

// lock reserves the address ::1 until the end of the test. Runs share this address only,
// and two Postfixes could listen on it at the same time: they set SO_REUSEPORT.
func (s *setup) lock() {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "mtasts-e2e.lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { lock.Close() })
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		s.Fatal(err)
	}
}

// policy returns the text of a policy file, with LF lines.
func policy(mode string, maxAge int, mx ...string) string {
	text := "version: STSv1\nmode: " + mode + "\n"
	for _, pattern := range mx {
		text += "mx: " + pattern + "\n"
	}
	return text + fmt.Sprintf("max_age: %d\n", maxAge)
}
