//go:build linux

package mtasts_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

const farRoundTrip = 50 * time.Millisecond

// BenchmarkFar is PolicyFor for domains that have never been heard of, one after the
// other, where everybody else is a round trip of 50 ms away. It tells how many of these
// an answer takes: for the record, for the addresses, for the TLS session, for the file.
// The proxies that hold everything back do not see one more, in which TCP connects.
func BenchmarkFar(b *testing.B) {
	s := startCold(b)
	s.prepare(b, b.N)
	client := mtasts.NewForPort(farStream(b, s.https), new(cache.Memory), &mtasts.Options{
		Resolver:  resolver.System{Server: farDatagrams(b, s.dns)},
		RootCAs:   s.roots,
		AllowNets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		p, err := client.PolicyFor(context.Background(), coldDomain(n))
		if err != nil || p.Mode != mtasts.ModeEnforce {
			b.Fatal(p, err)
		}
	}
	b.StopTimer()
	// In whole ones: the rest is what everything but the network takes.
	b.ReportMetric(float64(b.Elapsed()/time.Duration(b.N)/farRoundTrip), "round-trips/op")
	if err := client.Close(); err != nil {
		b.Error(err)
	}
}

// farDatagrams returns the address of a proxy of server, which is asked over UDP.
func farDatagrams(b *testing.B, server string) string {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	go func() {
		for query := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			there, err := net.Dial("udp", server)
			if err != nil {
				b.Error(err)
				return
			}
			question := append([]byte(nil), query[:n]...)
			time.AfterFunc(farRoundTrip/2, func() {
				there.Write(question)
				answer := make([]byte, 1500)
				n, err := there.Read(answer)
				there.Close()
				if err != nil {
					return // the benchmark is over, or fails for want of an answer
				}
				time.AfterFunc(farRoundTrip/2, func() { conn.WriteTo(answer[:n], from) })
			})
		}
	}()
	return conn.LocalAddr().String()
}

// farStream returns the port of a proxy of server, which is connected to over TCP.
func farStream(b *testing.B, server string) uint16 {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", server)
			if err != nil {
				b.Error(err)
				return
			}
			go holdBack(there, here)
			go holdBack(here, there)
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String()).Port()
}

// holdBack passes on to one what the other sends, half a round trip later.
func holdBack(to, from net.Conn) {
	type packet struct {
		octets  []byte
		arrives time.Time
	}
	way := make(chan packet, 100)
	go func() {
		defer close(way)
		for {
			octets := make([]byte, 16<<10)
			n, err := from.Read(octets)
			if err != nil {
				return
			}
			way <- packet{octets[:n], time.Now().Add(farRoundTrip / 2)}
		}
	}()
	defer to.Close()
	for p := range way {
		time.Sleep(time.Until(p.arrives)) // the network, not the test
		if _, err := to.Write(p.octets); err != nil {
			from.Close()
		}
	}
}
