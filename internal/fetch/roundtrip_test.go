package fetch

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// roundTripTime is that of the network in TestAGetTakesFourRoundTrips.
const roundTripTime = 50 * time.Millisecond

// far is one end of a connection on which each packet takes half a round trip.
type far struct {
	net.Conn // none
	in, out  chan packet
	left     []byte
	once     sync.Once
}

type packet struct {
	octets  []byte
	arrives time.Time
}

// farPair returns both ends. Each buffers more than a test sends.
func farPair() (here, there *far) {
	here = &far{in: make(chan packet, 100), out: make(chan packet, 100)}
	return here, &far{in: here.out, out: here.in}
}

func (f *far) Write(octets []byte) (int, error) {
	f.out <- packet{slices.Clone(octets), time.Now().Add(roundTripTime / 2)}
	return len(octets), nil
}

func (f *far) Read(octets []byte) (int, error) {
	if len(f.left) == 0 {
		p, ok := <-f.in
		if !ok {
			return 0, io.EOF
		}
		time.Sleep(time.Until(p.arrives))
		f.left = p.octets
	}
	n := copy(octets, f.left)
	f.left = f.left[n:]
	return n, nil
}

func (f *far) Close() error {
	f.once.Do(func() { close(f.out) })
	return nil
}

func (f *far) SetWriteDeadline(time.Time) error { return nil } // no write waits

// A Get takes one round trip for each of: the addresses, of both families at once; the
// connection; the TLS session; and the file. Neither the version of HTTP nor the end of
// the session takes another.
func TestAGetTakesFourRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := testpki.Must(testpki.New())
		cert := testpki.Must(ca.Issue(host))
		client := New(Config{RootCAs: ca.Pool(), LookupNetIP: func(context.Context, string, string) ([]netip.Addr, error) {
			time.Sleep(roundTripTime)
			return []netip.Addr{public}, nil
		}})
		client.dialer.connect = func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(roundTripTime) // SYN, and its acknowledgement
			here, there := farPair()
			go func() {
				conn := tls.Server(there, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}})
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 4096)); err != nil {
					t.Errorf("no request: %v", err)
				}
				io.WriteString(conn, sized)
			}()
			return here, nil
		}
		start := time.Now()
		body, err := client.Get(t.Context(), host)
		wantPolicy(t, body, err)
		if took := time.Since(start); took != 4*roundTripTime {
			t.Errorf("it took %v, want 4 round trips of %v", took, roundTripTime)
		}
	})
}
