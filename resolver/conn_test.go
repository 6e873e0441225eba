package resolver

import (
	"bytes"
	"net"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// FuzzInconclusive checks any bytes. An inconclusive reply has too many records, or is
// malformed, or is successful without the wanted records. To fail it changes its code and
// nothing else.
func FuzzInconclusive(f *testing.F) {
	question := dnsmessage.Question{Name: dnsmessage.MustNewName("_mta-sts.example."), Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET}
	header := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET}
	for _, m := range []dnsmessage.Message{
		{Header: dnsmessage.Header{Response: true}},
		{Header: dnsmessage.Header{Response: true}, Questions: []dnsmessage.Question{question}},
		{Header: dnsmessage.Header{Response: true, Authoritative: true}, Questions: []dnsmessage.Question{question},
			Answers: []dnsmessage.Resource{{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: question.Name}}}},
		{Header: dnsmessage.Header{Response: true, RecursionAvailable: true}, Questions: []dnsmessage.Question{question},
			Answers: []dnsmessage.Resource{{Header: header, Body: &dnsmessage.TXTResource{TXT: []string{"v=STSv1; id=1;"}}}}},
		{Header: dnsmessage.Header{Response: true, RecursionAvailable: true}, Questions: []dnsmessage.Question{question},
			Authorities: []dnsmessage.Resource{{Header: header, Body: &dnsmessage.NSResource{NS: question.Name}}}},
	} {
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
		f.Add(packed[:len(packed)-1])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		truncated(message)
		if !inconclusive(message) {
			return
		}
		if !bytes.Equal(message, before) {
			t.Fatal("judging changed the message")
		}
		fail(message)
		if message[3] != before[3]&^0x0f|2 {
			t.Errorf("octet 3 was %#x and is %#x", before[3], message[3])
		}
		message[3] = before[3]
		if !bytes.Equal(message, before) {
			t.Error("more than the code has changed")
		}
		if records(message) > maxRecords {
			return
		}
		if code := before[3] & 0x0f; code != 0 && code != 3 {
			t.Errorf("a message with the code %d was judged", code)
		}
		if inconclusive(message) {
			var m dnsmessage.Message
			if m.Unpack(message) == nil {
				for _, a := range m.Answers {
					if a.Header.Type == m.Questions[0].Type {
						t.Error("the message has the wanted records")
					}
				}
			}
		}
	})
}

// Without Server, a System asks the server that net chose.
func TestNetResolverDials(t *testing.T) {
	listen := func() string {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn.LocalAddr().String()
	}
	machines, own := listen(), listen()
	for server, want := range map[string]string{"": machines, own: own} {
		conn, err := netResolver(t.Context(), server).Dial(t.Context(), "udp", machines)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := conn.RemoteAddr().String(); got != want {
			t.Errorf("server %q: dialled %s, want %s", server, got, want)
		}
		if _, ok := conn.(net.PacketConn); !ok {
			t.Error("net would take the connection for a stream")
		}
	}
}
