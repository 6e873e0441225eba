package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

const benchDomains = 10_000

// BenchmarkSocketmap asks about cached domains, 32 queries in flight on each connection. The
// floor has the replies in a map, and sends them when it has read all queries that have come.
func BenchmarkSocketmap(b *testing.B) {
	ours, floor := startOurs(b), startFloor(b)
	for _, conns := range []int{1, 16} {
		b.Run(fmt.Sprintf("conns=%d/impl=floor", conns), func(b *testing.B) { ask10k(b, conns, floor) })
		b.Run(fmt.Sprintf("conns=%d/impl=ours", conns), func(b *testing.B) { ask10k(b, conns, ours) })
	}
}

func benchDomain(i int) string { return fmt.Sprintf("d%d.example", i%benchDomains) }

func startOurs(b *testing.B) string {
	world := mtaststest.NewWorld()
	client := mtasts.New(&cache.Memory{}, world.Options())
	b.Cleanup(func() { client.Close() })
	a := &answers{client: client, hosts: newHosts(world.DNS, false)}
	for i := range benchDomains {
		world.Publish(benchDomain(i), "1", mtaststest.Policy(mtasts.ModeEnforce, 24*time.Hour, "mx1."+benchDomain(i), "mx2."+benchDomain(i), "mx.example.net"))
	}
	var loading sync.WaitGroup
	for w := range 16 {
		loading.Go(func() {
			for i := w; i < benchDomains; i += 16 {
				if got := reply(a, "mta-sts "+benchDomain(i)); !strings.HasPrefix(got, "OK ") {
					b.Error(got)
				}
			}
		})
	}
	loading.Wait()
	return benchListen(b, func(conn net.Conn) { newSession(conn, a.answer).serve() })
}

func startFloor(b *testing.B) string {
	replies := make(map[string][]byte)
	for i := range benchDomains {
		d := benchDomain(i)
		replies["mta-sts "+d] = []byte("OK secure match=mx1." + d + ":mx2." + d + ":mx.example.net servername=hostname")
	}
	return benchListen(b, func(conn net.Conn) {
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
	})
}

func benchListen(b *testing.B, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l.Addr().String()
}

// ask10k sends b.N queries in all, in batches of 32 on each connection.
func ask10k(b *testing.B, conns int, addr string) {
	const batch = 32
	b.ReportAllocs()
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
					query := "mta-sts " + benchDomain(j*7)
					out = fmt.Appendf(out, "%d:%s,", len(query), query)
				}
				conn.Write(out)
				for range batch {
					length := 0
					for {
						digit, err := r.ReadByte()
						if err == io.EOF {
							b.Error(err)
							return
						}
						if digit == ':' {
							break
						}
						length = 10*length + int(digit-'0')
					}
					r.Discard(length + 1)
				}
			}
		})
	}
	asking.Wait()
}
