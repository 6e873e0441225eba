package resolver_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mtasts/go-mtasts/resolver"
)

// A dnsServer is a recursive DNS server on a loopback port, over UDP and TCP. Its zone has
// the form of Fake.Names, so that one test can use both.
type dnsServer struct {
	addr    string
	zone    map[string]resolver.Records // by lower-case absolute name
	special map[string]handler          // takes precedence over zone
	tcpOnly bool                        // over UDP, answer with the TC bit and nothing else

	mu    sync.Mutex
	asked []string // "udp TXT name."
}

// A handler returns the messages that answer a query, or none to drop it. reply already
// has the header and the question.
type handler func(reply dnsmessage.Message, network string) [][]byte

// start listens until the end of the test.
func (s *dnsServer) start(t *testing.T) *dnsServer {
	t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	for udp == nil { // the same port may be in use over UDP
		var err error
		if tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		s.addr = tcp.Addr().String()
		if udp, err = net.ListenPacket("udp", s.addr); err != nil {
			tcp.Close()
		}
	}
	done := make(chan struct{})
	var serving sync.WaitGroup
	t.Cleanup(func() {
		close(done)
		tcp.Close()
		udp.Close()
		serving.Wait()
	})
	serving.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, message := range s.answer(buf[:n], "udp") {
				udp.WriteTo(message, from)
			}
		}
	})
	serving.Go(func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				s.serveStream(conn, done)
			})
		}
	})
	return s
}

// serveStream answers one query. Without an answer it keeps the connection open until the
// client closes it or the test ends.
func (s *dnsServer) serveStream(conn net.Conn, done <-chan struct{}) {
	size := make([]byte, 2)
	if _, err := io.ReadFull(conn, size); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(size))
	if _, err := io.ReadFull(conn, query); err != nil {
		return
	}
	answers := s.answer(query, "tcp")
	for _, message := range answers {
		conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	}
	if len(answers) == 0 {
		left := make(chan struct{})
		go func() { conn.Read(size); close(left) }()
		select {
		case <-left:
		case <-done:
		}
	}
}

func (s *dnsServer) answer(query []byte, network string) [][]byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	s.mu.Lock()
	s.asked = append(s.asked, network+" "+strings.TrimPrefix(q.Type.String(), "Type")+" "+q.Name.String())
	s.mu.Unlock()

	reply := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: h.ID, Response: true, RecursionDesired: h.RecursionDesired, RecursionAvailable: true,
		},
		Questions: []dnsmessage.Question{q},
	}
	if s.tcpOnly && network == "udp" {
		reply.Truncated = true
		return messages(reply)
	}
	name := strings.ToLower(q.Name.String())
	if special, ok := s.special[name]; ok {
		return special(reply, network)
	}
	if !s.resolve(&reply, name, q, h.AuthenticData) {
		return nil
	}
	packed := messages(reply)
	if network == "udp" && len(packed[0]) > 1232 { // the size that net announces by EDNS
		reply.Truncated, reply.Answers = true, nil
		return messages(reply)
	}
	return packed
}

// resolve adds the records of the zone to reply. It returns false to drop the query. The
// AD bit is for a query that has it (RFC 6840, Section 5.8).
func (s *dnsServer) resolve(reply *dnsmessage.Message, name string, q dnsmessage.Question, adBit bool) bool {
	for range 11 {
		records, ok := s.zone[name]
		switch {
		case !ok:
			reply.RCode = dnsmessage.RCodeNameError
			return true
		case records.Delay > 0, records.Fail == resolver.Timeout:
			return false
		case records.Fail == resolver.ServFail:
			reply.RCode = dnsmessage.RCodeServerFailure
			return true
		case records.Fail == resolver.Refused:
			reply.RCode = dnsmessage.RCodeRefused
			return true
		case records.CNAME == "" || q.Type == dnsmessage.TypeCNAME:
			for _, body := range bodies(records, q.Type) {
				reply.Answers = append(reply.Answers, record(name, body))
			}
			reply.AuthenticData = records.Authenticated && adBit
			return true
		}
		target := dnsmessage.MustNewName(absolute(records.CNAME))
		reply.Answers = append(reply.Answers, record(name, &dnsmessage.CNAMEResource{CNAME: target}))
		name = strings.ToLower(target.String())
	}
	reply.RCode, reply.Answers = dnsmessage.RCodeServerFailure, nil
	return true
}

// bodies returns the records of one type in their wire form.
func bodies(records resolver.Records, want dnsmessage.Type) (list []dnsmessage.ResourceBody) {
	switch want {
	case dnsmessage.TypeCNAME:
		if records.CNAME != "" {
			list = append(list, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(absolute(records.CNAME))})
		}
	case dnsmessage.TypeTXT:
		for _, txt := range records.TXT {
			list = append(list, &dnsmessage.TXTResource{TXT: characterStrings(txt)})
		}
	case typeTLSA:
		for _, r := range records.TLSA {
			list = append(list, &dnsmessage.UnknownResource{Type: typeTLSA, Data: append([]byte{r.Usage, r.Selector, r.Matching}, r.Data...)})
		}
	case dnsmessage.TypeMX:
		for _, mx := range records.MX {
			list = append(list, &dnsmessage.MXResource{Pref: mx.Pref, MX: dnsmessage.MustNewName(absolute(mx.Host))})
		}
	case dnsmessage.TypeA, dnsmessage.TypeAAAA:
		for _, addr := range records.Addr {
			if addr.Is4() == (want == dnsmessage.TypeA) {
				list = append(list, address(addr))
			}
		}
	}
	return list
}

func address(addr netip.Addr) dnsmessage.ResourceBody {
	if addr.Is4() {
		return &dnsmessage.AResource{A: addr.As4()}
	}
	return &dnsmessage.AAAAResource{AAAA: addr.As16()}
}

// characterStrings divides the text of a TXT record into strings of 255 octets.
func characterStrings(txt string) (list []string) {
	for part := range slices.Chunk([]byte(txt), 255) {
		list = append(list, string(part))
	}
	return list
}

func record(name string, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: 60},
		Body:   body,
	}
}

func messages(list ...dnsmessage.Message) (packed [][]byte) {
	for _, m := range list {
		b, err := m.Pack()
		if err != nil {
			panic(err)
		}
		packed = append(packed, b)
	}
	return packed
}

func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }

// queries returns the queries that the server has received so far.
func (s *dnsServer) queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}
