package rediscache_test

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/valkey-io/valkey-go"
)

// startCluster starts a Cluster of three masters, each with so many replicas.
func startCluster(t *testing.T, replicas int) []*server {
	cli := needs(t, "redis-cli")
	var nodes []*server
	create := []string{"--cluster", "create", "--cluster-replicas", fmt.Sprint(replicas)}
	for range 3 * (1 + replicas) {
		s := startServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", fmt.Sprint(freePort(t)))
		nodes = append(nodes, s)
		create = append(create, s.addr)
	}
	if out, err := exec.Command(cli, append(create, "--cluster-yes")...).CombinedOutput(); err != nil {
		t.Fatalf("redis-cli: %v\n%s", err, out)
	}
	for _, s := range nodes {
		s.await("the cluster is complete", func() bool { return strings.Contains(s.do("CLUSTER", "INFO"), "cluster_state:ok") })
	}
	return nodes
}

func clusterOption(nodes []*server) (option valkey.ClientOption) {
	for _, s := range nodes {
		option.InitAddress = append(option.InitAddress, s.addr)
	}
	return option
}

// scanAll reads the whole store, limit entries at a time.
func scanAll(t *testing.T, store mtasts.Store, limit int) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for after := ""; ; {
		keys, values, err := store.Scan(t.Context(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for i, key := range keys {
			if key <= after {
				t.Fatalf("Scan returned %q after %q", key, after)
			}
			all[key], after = string(values[i]), key
		}
		if len(keys) < limit {
			return all
		}
	}
}

func TestAClusterHasEachEntryOnOneOfItsNodes(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 0)
	store := open(t, clusterOption(nodes), nil)
	var changes []cache.Change
	all := make(map[string]string)
	now := time.Now()
	for i := range 1000 {
		key := fmt.Sprintf("host%d.example", i)
		all[key] = "value of " + key
		changes = append(changes, cache.Change{Key: key, Value: []byte(all[key]), Fetched: now, Expires: now.Add(hour)})
	}
	if err := store.Write(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	for _, s := range nodes {
		var n int
		if fmt.Sscan(s.do("DBSIZE"), &n); n < 200 || n > 500 {
			t.Errorf("one of three nodes has %d of 1000 entries", n)
		}
	}
	for _, limit := range []int{1, 7, 500, 1000, 5000} {
		if got := scanAll(t, store, limit); !maps.Equal(got, all) {
			t.Errorf("with limit %d, Scan finds %d of 1000 entries", limit, len(got))
		}
	}

	// The order of the changes of one key holds there too.
	older, newer := now.Add(-time.Minute), now.Add(time.Minute)
	put(t, store, "host1.example", "older", older)
	want(t, store, "host1.example", all["host1.example"])
	put(t, store, "host1.example", "newer", newer)
	want(t, store, "host1.example", "newer")
	removals := []cache.Change{{Key: "host1.example", Fetched: now}, {Key: "host2.example", Fetched: now}}
	if err := store.Write(t.Context(), removals); err != nil {
		t.Fatal(err)
	}
	want(t, store, "host1.example", "newer")
	want(t, store, "host2.example", "(none)")
}

func TestAClusterIsASharedStore(t *testing.T) {
	t.Parallel()
	option := clusterOption(startCluster(t, 0))
	n := 0
	mtaststest.TestShared(t, func(t *testing.T) (a, b mtasts.SharedStore) {
		n++
		opts := &rediscache.Options{Prefix: fmt.Sprint("test", n)}
		return open(t, option, opts), open(t, option, opts)
	})
}

// A walk must not take a part of the entries for all of them.
func TestAScanWithoutOneNodeOfAClusterIsAnError(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 0)
	store := open(t, clusterOption(nodes), nil)
	for i := range 30 {
		put(t, store, fmt.Sprintf("host%d.example", i), "value", time.Now())
	}
	nodes[1].kill()
	if keys, _, err := store.Scan(t.Context(), "", 100); err == nil {
		t.Errorf("Scan returned %d of 30 keys, and no error", len(keys))
	}
	nodes[1].start()
	if !eventually(func() bool {
		keys, _, err := store.Scan(t.Context(), "", 100)
		return err == nil && len(keys) < 30 && slices.IsSorted(keys)
	}) {
		t.Error("Scan fails although all nodes are back")
	}
}
