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

// pdns is PowerDNS with zones of ours: an authoritative server, which a
// sender names in resolver.System.Server. Its records can be changed while
// it runs, and the next answer has the change.
type pdns struct {
	*daemon
	dir   string
	addr  string // host:port
	zones []string
}

// newPDNS makes a server without zones that does not run yet.
func newPDNS(t *testing.T, dir, addr string) *pdns {
	t.Helper()
	conf := []string{
		// Of the backends in Debian this is the one that needs no schema and
		// that pdnsutil can write to while the server reads.
		"launch=lmdb",
		"lmdb-filename=" + filepath.Join(dir, "zones.lmdb"),
		"lmdb-shards=1",
		"local-address=" + addr,
		"local-port=53",
		"socket-dir=" + dir,
		"daemon=no",
		"guardian=no",
		"disable-syslog=yes",
		"security-poll-suffix=", // it asks the Internet for its own version otherwise
		// No cache, so that a change is seen at once.
		"cache-ttl=0",
		"query-cache-ttl=0",
		"negquery-cache-ttl=0",
		"zone-cache-refresh-interval=0",
		"zone-metadata-cache-ttl=0",
	}
	write(t, filepath.Join(dir, "pdns.conf"), strings.Join(conf, "\n")+"\n")
	return &pdns{dir: dir, addr: net.JoinHostPort(addr, "53")}
}

// start runs the server until it answers.
func (p *pdns) start(t *testing.T) {
	t.Helper()
	p.daemon = startDaemon(t, p.dir, pdnsProgram, "--config-dir="+p.dir)
	p.ready(t, func() error {
		_, err := p.resolver().LookupNS(context.Background(), p.zones[0]+".")
		return err
	})
}

// load makes a zone, or replaces all of it, by records in the form of a zone
// file: "@ MX 10 mail".
func (p *pdns) load(t *testing.T, zone string, records ...string) {
	t.Helper()
	text := "$TTL 60\n" +
		"@ SOA ns hostmaster 1 3600 600 86400 60\n" +
		"@ NS ns\n" +
		"ns A 127.0.0.1\n" +
		strings.Join(records, "\n") + "\n"
	file := filepath.Join(p.dir, zone+".zone")
	write(t, file, text)
	p.util(t, "load-zone", zone, file)
	p.zones = append(p.zones, zone)
}

// add is "pdnsutil add-record": host is a name inside zone, "@" the zone itself.
func (p *pdns) add(t *testing.T, zone, host, typ, content string) {
	t.Helper()
	p.util(t, "add-record", zone, host, typ, "60", content)
}

// replace makes contents the only records of a name and type; without
// contents the record set vanishes. The content of a TXT record is in quotes.
func (p *pdns) replace(t *testing.T, name, typ string, contents ...string) {
	t.Helper()
	zone := p.zoneOf(t, name)
	host := strings.TrimSuffix(strings.TrimSuffix(name, zone), ".")
	if host == "" {
		host = "@"
	}
	if len(contents) == 0 {
		p.util(t, "delete-rrset", zone, host, typ)
		return
	}
	p.util(t, append([]string{"replace-rrset", zone, host, typ, "60"}, contents...)...)
}

// refuse removes a whole zone: PowerDNS answers REFUSED for its names.
func (p *pdns) refuse(t *testing.T, zone string) {
	t.Helper()
	p.util(t, "delete-zone", zone)
}

// util runs pdnsutil.
func (p *pdns) util(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command(pdnsutilProgram, append([]string{"--config-dir=" + p.dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("pdnsutil %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (p *pdns) zoneOf(t *testing.T, name string) string {
	t.Helper()
	best := ""
	for _, zone := range p.zones {
		if (name == zone || strings.HasSuffix(name, "."+zone)) && len(zone) > len(best) {
			best = zone
		}
	}
	if best == "" {
		t.Fatalf("no zone for %s", name)
	}
	return best
}

// resolver is Go's own, asking this server: what the harness uses itself.
func (p *pdns) resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.addr)
		},
	}
}

func txt(s string) string { return fmt.Sprintf("%q", s) }
