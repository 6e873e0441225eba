//go:build e2e

package e2e

import (
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// intruder is an attacker between a sender and the DNS server who passes on all queries
// but those for TXT records: forged MX records are found, the policy is not. It returns
// the host:port that the sender asks. A query for TXT is answered with rcode, or not at
// all if that is dropped.
func (w *world) intruder(t *testing.T, host byte, rcode dnsmessage.RCode) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", net.JoinHostPort(w.addr(host), "53"))
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() {
		socket.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			query := make([]byte, 4096)
			n, from, err := socket.ReadFrom(query)
			if err != nil {
				return // closed
			}
			work.Go(func() {
				if answer, err := w.pass(query[:n], rcode); err == nil && answer != nil {
					socket.WriteTo(answer, from)
				}
			})
		}
	})
	return socket.LocalAddr().String()
}

// dropped is not a code of the DNS: no answer could carry it.
const dropped = dnsmessage.RCode(0xffff)

// pass returns the answer to a query, nil for none.
func (w *world) pass(query []byte, rcode dnsmessage.RCode) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	if len(m.Questions) == 1 && m.Questions[0].Type == dnsmessage.TypeTXT {
		if rcode == dropped {
			return nil, nil
		}
		reply := dnsmessage.Message{Header: m.Header, Questions: m.Questions}
		reply.Response, reply.RCode = true, rcode
		return reply.Pack()
	}
	conn, err := net.Dial("udp", w.dns.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	return answer[:n], err
}
