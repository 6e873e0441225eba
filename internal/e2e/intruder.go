//go:build e2e

package e2e

import (
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// intruder is somebody on the way between a sender and the DNS server who lets
// every query pass but those for TXT records, and so has the forged MX records
// found and the policy not. It returns the host:port at which the sender meets
// it. A query for TXT is answered with rcode, or not at all if that is dropped.
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
				if answer := w.pass(query[:n], rcode); answer != nil {
					socket.WriteTo(answer, from)
				}
			})
		}
	})
	return socket.LocalAddr().String()
}

// dropped is no code of the DNS: there is no answer that could carry it.
const dropped = dnsmessage.RCode(0xffff)

// pass returns the answer to a query, nil for none.
func (w *world) pass(query []byte, rcode dnsmessage.RCode) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return nil
	}
	if question.Type == dnsmessage.TypeTXT {
		if rcode == dropped {
			return nil
		}
		header.Response, header.RCode = true, rcode
		reply := dnsmessage.Message{Header: header, Questions: []dnsmessage.Question{question}}
		answer, err := reply.Pack()
		if err != nil {
			return nil
		}
		return answer
	}

	conn, err := net.Dial("udp", w.dns.addr)
	if err != nil {
		return nil
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(query); err != nil {
		return nil
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	if err != nil {
		return nil
	}
	return answer[:n]
}
