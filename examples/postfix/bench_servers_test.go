package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// A benchServer is a running server that knows the domains of the benchmark.
type benchServer struct {
	addr    string
	pid     int
	missing string // why there is none
}

// startBench runs a server that is to listen on addr, until the end of the benchmark.
func startBench(b *testing.B, addr string, cmd *exec.Cmd) benchServer {
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for end := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return benchServer{addr: addr, pid: cmd.Process.Pid}
		}
		if time.Now().After(end) {
			cmd.Process.Kill()
			cmd.Wait()
			b.Fatalf("%s does not listen:\n%s", cmd, &log)
		}
	}
}

// freeAddr returns an address on which nobody listens.
func freeAddr(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startOurs runs the program with a store that has the policies already. No DNS server
// answers, so each domain is checked once, in vain, and then not for five minutes.
func startOurs(b *testing.B) benchServer {
	db := filepath.Join(b.TempDir(), "db")
	world := mtaststest.NewWorld()
	client, err := mtasts.Open(db, world.Options())
	if err != nil {
		b.Fatal(err)
	}
	var loading sync.WaitGroup
	for w := range 16 {
		loading.Go(func() {
			for i := w; i < benchDomains; i += 16 {
				d := benchDomain(i)
				world.Publish(d, "1", mtaststest.Policy(mtasts.ModeEnforce, 24*time.Hour, "mx1."+d, "mx2."+d, "mx.example.net"))
				if _, err := client.PolicyFor(b.Context(), d); err != nil {
					b.Error(err)
				}
			}
		})
	}
	loading.Wait()
	if err := client.Close(); err != nil {
		b.Fatal(err)
	}
	program := filepath.Join(b.TempDir(), "mtasts-postfix") // without what this test links
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	addr := freeAddr(b)
	cmd := exec.Command(program, "-listen", addr, "-db", db, "-dane", "off", "-dns", "127.0.0.1:9")
	cmd.Env = append(os.Environ(), "GOGC=50") // as in the unit
	return startBench(b, addr, cmd)
}

func startFloor(b *testing.B) benchServer {
	addr := freeAddr(b)
	cmd := exec.Command(os.Args[0], addr)
	cmd.Env = append(os.Environ(), asProgram+"=floor")
	return startBench(b, addr, cmd)
}

// serveFloor is the process of the floor. It sends replies when it has read all queries that
// have come.
func serveFloor(addr string) {
	replies := make(map[string][]byte)
	for i := range benchDomains {
		replies["mta-sts "+benchDomain(i)] = []byte(benchReply(benchDomain(i)))
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		panic(err)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
			for {
				query, err := readNetstring(r)
				if err != nil {
					return
				}
				writeNetstring(w, replies[query])
				if r.Buffered() == 0 {
					w.Flush()
				}
			}
		}()
	}
}

// peerStore makes a store of mta-sts-daemon: Debian configures SQLite.
const peerStore = `
import json, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1])
db.execute("create table sts_policy_cache (domain text, ts integer, pol_id text, pol_body text)")
db.execute("create unique index sts_policy_domain on sts_policy_cache (domain)")
for line in sys.stdin:
    d = line.strip()
    body = {"version": "STSv1", "mode": "enforce", "max_age": 86400, "mx": ["mx1." + d, "mx2." + d, "mx.example.net"]}
    db.execute("insert into sts_policy_cache values (?, ?, '1', ?)", (d, int(time.time()), json.dumps(body)))
db.commit()
`

func startPeer(b *testing.B) benchServer {
	program, err := exec.LookPath("mta-sts-daemon")
	if err != nil {
		return benchServer{missing: "mta-sts-daemon is not installed: it is in Debian's postfix-mta-sts-resolver"}
	}
	dir := b.TempDir()
	db := filepath.Join(dir, "cache.db")
	var domains strings.Builder
	for i := range benchDomains {
		fmt.Fprintln(&domains, benchDomain(i))
	}
	load := exec.Command("/usr/bin/python3", "-c", peerStore, db) // which runs the daemon, too
	load.Stdin = strings.NewReader(domains.String())
	if out, err := load.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	addr := freeAddr(b)
	_, port, _ := net.SplitHostPort(addr)
	config := filepath.Join(dir, "config.yml")
	// A policy younger than cache_grace needs no DNS.
	write(b, config, "port: "+port+"\ncache_grace: 86400\ncache:\n  type: sqlite\n  options:\n    filename: "+db+"\n")
	return startBench(b, addr, exec.Command(program, "-c", config, "-v", "warn"))
}
