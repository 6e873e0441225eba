package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
)

const benchDomains = 10_000

// BenchmarkSocketmap asks three servers about cached domains, 32 queries in flight on each
// connection: the program, a floor that has the replies in a map, and mta-sts-daemon of
// Debian's postfix-mta-sts-resolver. Then it measures their memory. Each server is a process.
func BenchmarkSocketmap(b *testing.B) {
	for _, impl := range []struct {
		name  string
		start func(*testing.B) benchServer
	}{{"floor", startFloor}, {"ours", startOurs}, {"peer", startPeer}} {
		server := sync.OnceValue(func() benchServer {
			s := impl.start(b)
			s.check(b)
			return s
		})
		for _, conns := range []int{1, 16} {
			b.Run(fmt.Sprintf("conns=%d/impl=%s", conns, impl.name), func(b *testing.B) {
				s := server()
				s.needed(b)
				ask10k(b, conns, s.addr)
			})
		}
		b.Run("memory/impl="+impl.name, func(b *testing.B) {
			s := server()
			s.needed(b)
			b.ReportMetric(s.resident(b), "octets")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func benchDomain(i int) string { return fmt.Sprintf("d%d.example", i%benchDomains) }

// benchReply is the reply about a domain.
func benchReply(domain string) string {
	return "OK secure match=mx1." + domain + ":mx2." + domain + ":mx.example.net servername=hostname"
}

// check asks about each domain, and compares the length of the reply. The peer orders names as
// it likes.
func (s benchServer) check(b *testing.B) {
	if s.missing != "" {
		return
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for i := range benchDomains {
		query := "mta-sts " + benchDomain(i)
		fmt.Fprintf(conn, "%d:%s,", len(query), query)
		if got, want := readReply(b, r), benchReply(benchDomain(i)); len(got) != len(want) {
			b.Fatalf("got %q, want %q", got, want)
		}
	}
}

// needed skips the benchmark if the server is not installed.
func (s benchServer) needed(b *testing.B) {
	if s.missing != "" {
		b.Skip(s.missing)
	}
}

// resident returns the memory of the server's process in octets.
func (s benchServer) resident(b *testing.B) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		b.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		b.Fatalf("%s", status)
	}
	kilobytes, _ := strconv.Atoi(string(m[1]))
	return float64(kilobytes) * 1024
}

// ask10k sends b.N queries in all, in batches of 32 on each connection.
func ask10k(b *testing.B, conns int, addr string) {
	const batch = 32
	queries := make([]string, benchDomains)
	for i := range queries {
		query := "mta-sts " + benchDomain(i)
		queries[i] = fmt.Sprintf("%d:%s,", len(query), query)
	}
	b.ResetTimer()
	var asking sync.WaitGroup
	for c := range conns {
		asking.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReaderSize(conn, 16<<10)
			var out []byte
			for i := c * batch; i < b.N; i += conns * batch {
				out = out[:0]
				for j := i; j < i+batch; j++ {
					out = append(out, queries[j*7%benchDomains]...)
				}
				conn.Write(out) // an error shows when the reply is read
				for range batch {
					if err := skipReply(r); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	asking.Wait()
}

func skipReply(r *bufio.Reader) error {
	for length := 0; ; {
		digit, err := r.ReadByte()
		if err != nil {
			return err
		}
		if digit == ':' {
			_, err := r.Discard(length + 1)
			return err
		}
		length = 10*length + int(digit-'0')
	}
}
