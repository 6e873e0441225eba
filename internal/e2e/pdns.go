//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pdns is PowerDNS as the authoritative server of one zone, the root. A sender names it
// in resolver.System.Server. Records can be changed while it runs: the next answer has
// the change.
type pdns struct {
	*daemon
	dir  string
	addr string // host:port
}

// pdnsConf has the one of Debian's backends that needs no schema and that pdnsutil can
// write to while the server reads. There is no cache. Without "security-poll-suffix=" the
// server asks the Internet for news of its own version.
const pdnsConf = `launch=lmdb
lmdb-filename=%[1]s/zones.lmdb
lmdb-shards=1
local-address=%[2]s
socket-dir=%[1]s
disable-syslog=yes
security-poll-suffix=
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
zone-metadata-cache-ttl=0
`

// startPDNS serves records, which are lines of a zone file.
func startPDNS(t *testing.T, dir, addr string, records []string) *pdns {
	t.Helper()
	p := &pdns{dir: dir, addr: net.JoinHostPort(addr, "53")}
	write(t, filepath.Join(dir, "pdns.conf"), fmt.Sprintf(pdnsConf, dir, addr))
	zone := filepath.Join(dir, "root.zone")
	write(t, zone, "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A "+addr+"\n"+strings.Join(records, "\n")+"\n")
	p.util(t, "load-zone", ".", zone)
	p.start(t)
	return p
}

// start runs the server, also after stop, and waits until it answers.
func (p *pdns) start(t *testing.T) {
	t.Helper()
	p.daemon = startDaemon(t, p.dir, pdnsProgram, "--config-dir="+p.dir)
	p.listening(t, p.addr)
}

// replace makes contents the only records of a name and type. Without contents it deletes
// the records. The content of a TXT record is in quotes.
func (p *pdns) replace(t *testing.T, name, typ string, contents ...string) {
	t.Helper()
	if len(contents) == 0 {
		p.util(t, "delete-rrset", ".", name, typ)
		return
	}
	p.util(t, append([]string{"replace-rrset", ".", name, typ, "60"}, contents...)...)
}

// util runs pdnsutil.
func (p *pdns) util(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command(pdnsutilProgram, append([]string{"--config-dir=" + p.dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("pdnsutil %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// resolver returns Go's own resolver with this server.
func (p *pdns) resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.addr)
		},
	}
}

func txt(s string) string { return fmt.Sprintf("%q", s) }
