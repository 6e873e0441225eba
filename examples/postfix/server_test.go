package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
)

func startServer(t *testing.T, answer answerer) (*server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(answer, slog.New(slog.DiscardHandler))
	s.listen(l)
	return s, l.Addr().String()
}

func dial(t *testing.T, network, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn, bufio.NewReader(conn)
}

func ask(t *testing.T, conn io.Writer, r *bufio.Reader, query string) string {
	t.Helper()
	if _, err := fmt.Fprintf(conn, "%d:%s,", len(query), query); err != nil {
		t.Fatal(err)
	}
	return readReply(t, r)
}

// A query that has been sent is answered, whatever state its connection is in when the
// server is told to end.
func TestShutdownLosesNoAnswer(t *testing.T) {
	release := make(chan struct{})
	var asked atomic.Int32
	s, addr := startServer(t, func(_ context.Context, b []byte, query string) []byte {
		if query == "slow" {
			asked.Add(1)
			<-release
		}
		return append(b, "OK "+query...)
	})
	const conns = 50
	var answered sync.WaitGroup
	for i := range conns {
		conn, r := dial(t, "tcp", addr)
		if i%2 == 0 {
			ask(t, conn, r, "warm") // the connection is accepted and idle
		}
		answered.Go(func() {
			if got := ask(t, conn, r, "slow"); got != "OK slow" {
				t.Error(got)
			}
		})
	}
	ended := make(chan struct{})
	for asked.Load() < conns/2 { // some are under way, others on the wire
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("no query has come")
		}
	}
	go func() { s.shutdown(); close(ended) }()
	close(release)
	answered.Wait()
	<-ended
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the server still listens")
	}
	if n := s.connections(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

// A connection that is not accepted yet when the server is told to end is served.
func TestShutdownServesTheBacklog(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, r := dial(t, "tcp", l.Addr().String())
	fmt.Fprint(conn, "1:a,")
	s := newServer(echo, slog.New(slog.DiscardHandler))
	s.listen(l)
	s.shutdown()
	if got := readReply(t, r); got != "OK a" {
		t.Error(got)
	}
}

// Connections beyond the bound wait, and are served when others end.
func TestConnectionsAreBounded(t *testing.T) {
	s, addr := startServer(t, echo)
	defer s.shutdown()
	var conns []net.Conn
	for range maxConns {
		conn, r := dial(t, "tcp", addr)
		if got := ask(t, conn, r, "a"); got != "OK a" {
			t.Fatal(got)
		}
		conns = append(conns, conn)
	}
	late, r := dial(t, "tcp", addr)
	fmt.Fprint(late, "4:late,")
	if n := s.connections(); n != maxConns {
		t.Errorf("%d connections", n)
	}
	conns[0].Close()
	if got := readReply(t, r); got != "OK late" {
		t.Error(got)
	}
	for _, conn := range conns {
		conn.Close()
	}
	late.Close()
}

func TestMalformedQueriesAreCounted(t *testing.T) {
	s, addr := startServer(t, echo)
	conn, _ := dial(t, "tcp", addr)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n")
	if _, err := io.ReadAll(conn); err != nil {
		t.Log(err) // a reset, for there are octets that nobody reads
	}
	s.shutdown()
	if s.malformed.Load() != 1 || s.accepted.Load() != 1 {
		t.Errorf("%d of %d", s.malformed.Load(), s.accepted.Load())
	}
}

// emptyDNS has no records, and counts nothing.
type emptyDNS struct{}

func (emptyDNS) LookupTXT(_ context.Context, name string) ([]string, error) { return nil, nil }

// A Postfix that asks about 100,000 names at once is served in bounded memory.
func TestManyNamesAtOnce(t *testing.T) {
	client := mtasts.New(&cache.Memory{}, &mtasts.Options{Resolver: emptyDNS{}})
	defer client.Close()
	a := &answers{client: client, hosts: newHosts(nil, false)}
	s, addr := startServer(t, a.answer)
	const conns, each = 100, 1000
	var asking sync.WaitGroup
	for c := range conns {
		conn, r := dial(t, "tcp", addr)
		asking.Go(func() {
			for i := range each { // 20 in flight
				query := fmt.Sprintf("mta-sts n%d.c%d.example", i, c)
				fmt.Fprintf(conn, "%d:%s,", len(query), query)
				if i%20 < 19 {
					continue
				}
				for range 20 {
					if got := readReply(t, r); got != notFoundReply {
						t.Error(got)
					}
				}
			}
			conn.Close()
		})
	}
	asking.Wait()
	s.shutdown()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	const most = 64 << 20
	if m.HeapAlloc > most {
		t.Errorf("%d octets of heap, want at most %d", m.HeapAlloc, most)
	}
	t.Logf("%d octets of heap", m.HeapAlloc)
}
