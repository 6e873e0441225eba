package rediscache_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/valkey-io/valkey-go"
)

// startSentinel starts a sentinel that watches a master, and decides alone.
func startSentinel(t *testing.T, master *server) *server {
	t.Helper()
	host, port, _ := net.SplitHostPort(master.addr)
	mine := fmt.Sprint(freePort(t))
	s := &server{t: t, program: needs(t, "redis-sentinel"), addr: net.JoinHostPort("127.0.0.1", mine), dir: t.TempDir()}
	config := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor fleet %s %s 1\n"+
		"sentinel down-after-milliseconds fleet 1000\nsentinel failover-timeout fleet 5000\n", mine, s.dir, host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{config}
	t.Cleanup(s.kill)
	s.start()
	return s
}

// notTalkedDown asserts that a relay soon answers for each domain, and never without its policy.
func (f *fleet) notTalkedDown(relay *mtasts.Client, names ...string) {
	f.t.Helper()
	for _, name := range names {
		if !eventually(func() bool {
			p, err := relay.PolicyFor(f.t.Context(), name)
			if err == nil && p.ID != "1" {
				f.t.Fatalf("%s: mode %q: %v", name, p.Mode, p.Cause)
			}
			return err == nil
		}) {
			f.t.Errorf("%s: the relay does not work with the servers that are left", name)
		}
	}
}

// fetchThirty has a relay fetch and store the policies of 30 domains, whose records then disappear.
func (f *fleet) fetchThirty(relay *mtasts.Client) (names []string) {
	f.t.Helper()
	for i := range 30 {
		name := fmt.Sprintf("host%d.example", i)
		f.publish(name, "1", "mx."+name)
		f.enforced(relay, name, "1")
		f.forge(name)
		names = append(names, name)
	}
	f.saved(relay)
	return names
}

func TestASentinelFailoverTalksNoRelayDown(t *testing.T) {
	t.Parallel()
	master := startServer(t)
	_, port, _ := net.SplitHostPort(master.addr)
	replica := startServer(t, "--replicaof", "127.0.0.1 "+port)
	replica.await("it follows", func() bool { return replica.says("master_link_status:up", "INFO", "replication") })
	sentinel := startSentinel(t, master)
	sentinel.await("it knows the replica", func() bool { return sentinel.says("slaves=1", "INFO", "sentinel") })

	option := valkey.ClientOption{InitAddress: []string{sentinel.addr}}
	option.Sentinel.MasterSet = "fleet"
	f := newFleet(t, option)
	relay, other := f.relay(nil), f.relay(nil)
	f.publish(domain, "1", "mx.example.com")
	f.publish("late.example", "1", "mx.late.example")
	f.enforced(relay, domain, "1")
	f.saved(relay)
	replica.await("it has the policy", func() bool { return replica.says("1", "EXISTS", "mtasts:1:"+domain) })

	// The replica lags, and then takes over.
	replica.freeze()
	f.enforced(relay, "late.example", "1")
	f.saved(relay)
	f.forge(domain)
	f.forge("late.example")
	master.kill()
	replica.thaw()
	if !eventually(func() bool { return replica.says("master", "ROLE") }) {
		t.Fatal("no failover")
	}
	f.notTalkedDown(other, domain, "late.example")
}

func TestANodeOfAClusterThatIsRestartedEmptyTalksNoRelayDown(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 0)
	f := newFleet(t, clusterOption(nodes))
	relay, other := f.relay(nil), f.relay(nil)
	names := f.fetchThirty(relay)
	nodes[0].kill()
	nodes[0].start()
	f.notTalkedDown(other, names...)
}

func TestAFailoverInAClusterTalksNoRelayDown(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 1)
	f := newFleet(t, clusterOption(nodes))
	relay, other := f.relay(nil), f.relay(nil)
	names := f.fetchThirty(relay)
	if all := scanAll(t, open(t, clusterOption(nodes), nil), 7); len(all) != 30 {
		t.Errorf("Scan finds %d of 30 entries", len(all))
	}
	for _, s := range nodes {
		if s.says("master", "ROLE") {
			s.kill()
			break
		}
	}
	f.notTalkedDown(other, names...)
	f.publish("new.example", "1", "mx.new.example")
	if !eventually(func() bool { p, err := other.PolicyFor(t.Context(), "new.example"); return err == nil && p.ID == "1" }) {
		t.Error("a new domain is an error")
	}
	f.saved(other)
}
