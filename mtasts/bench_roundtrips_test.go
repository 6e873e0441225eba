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

// BenchmarkRoundTrips is the first PolicyFor of a domain where all servers are a round trip
// of 50 ms away. It reports how many of them an answer takes: for the record, for the
// addresses, for the TLS session, and for the file. The proxies do not delay the handshake
// of TCP, which takes one more.
func BenchmarkRoundTrips(b *testing.B) {
	b.Run("impl=ours", benchRoundTrips)
}

func benchRoundTrips(b *testing.B) {
	s := startCold(b)
	s.prepare(b, b.N)
	client := mtasts.NewForPort(farStream(b, s.https), new(cache.Memory), &mtasts.Options{
		Resolver:  resolver.System{Server: farDatagrams(b, s.dns)},
		RootCAs:   s.roots,
		AllowNets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	b.ResetTimer()
	for n := range b.N {
		p, err := client.PolicyFor(context.Background(), coldDomain(n))
		if err != nil || p.Mode != mtasts.ModeEnforce {
			b.Fatal(p, err)
		}
	}
	b.StopTimer()
	// The fraction is the time for all but the network.
	b.ReportMetric(float64(b.Elapsed()/time.Duration(b.N)/farRoundTrip), "round-trips/op")
	if err := client.Close(); err != nil {
		b.Error(err)
	}
}

// farDatagrams returns the address of a UDP proxy in front of server.
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
					return // the client reports it
				}
				time.AfterFunc(farRoundTrip/2, func() { conn.WriteTo(answer[:n], from) })
			})
		}
	}()
	return conn.LocalAddr().String()
}

// farStream returns the port of a TCP proxy in front of server.
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

// holdBack copies from one connection to the other, half a round trip later.
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
