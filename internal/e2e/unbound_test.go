//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

const (
	unboundProgram = "/usr/sbin/unbound"
	unboundHost    = 86
)

// unboundConf asks the server of the world for everything, and validates, but for
// attacker.test. It answers no question about the TLSA records of refused.
const unboundConf = `server:
  interface: %[1]s
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-daemonize: no
  use-syslog: no
  chroot: ""
  username: ""
  pidfile: ""
  directory: "%[2]s"
  module-config: "validator iterator"
  trust-anchor: "%[3]s"
  domain-insecure: "attacker.test"
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  local-zone: "test." nodefault
  local-zone: "_tcp.%[5]s." always_refuse
remote-control:
  control-enable: no
stub-zone:
  name: "."
  stub-addr: %[4]s
`

// signed signs the zone of the world, and starts a resolver that validates it. It returns
// the address of the resolver.
func (w *world) signed(t *testing.T, refused string) (addr string) {
	t.Helper()
	w.dns.util(t, "secure-zone", ".")
	w.dns.util(t, "rectify-zone", ".")
	out, err := exec.Command(pdnsutilProgram, "--config-dir="+w.dns.dir, "export-zone-ds", ".").Output()
	anchor := regexp.MustCompile(`DS (\d+ \d+ 2 [0-9a-f]+)`).FindSubmatch(out)
	if err != nil || anchor == nil {
		t.Fatalf("export-zone-ds: %v\n%s", err, out)
	}
	upstream, _, err := net.SplitHostPort(w.dns.addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "unbound")
	conf := filepath.Join(dir, "unbound.conf")
	write(t, conf, fmt.Sprintf(unboundConf, w.addr(unboundHost), dir, ". DS "+string(anchor[1]), upstream, refused))
	addr = net.JoinHostPort(w.addr(unboundHost), "53")
	startDaemon(t, dir, unboundProgram, "-c", conf, "-d", "-p").listening(t, addr)
	return addr
}

// tlsa sets the TLSA record of an MX host: its key by SHA-256 (RFC 6698, usage 3).
func (w *world) tlsa(t *testing.T, mx string, digest []byte) {
	t.Helper()
	w.dns.replace(t, "_25._tcp."+mx, "TLSA", fmt.Sprintf("3 1 1 %x", digest))
	w.dns.util(t, "rectify-zone", ".")
}
