package resolver_test

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// A hostileServer is a DNS server on a loopback port that sends any octets.
type hostileServer struct {
	// datagrams answers a query over UDP. It returns when it is done, or when gone
	// is closed. Nil refers every query to TCP.
	datagrams func(query []byte, send func([]byte), gone <-chan struct{})

	// stream answers a query over TCP. The connection is closed when it returns, or
	// when the client has closed it, which also closes gone.
	stream func(query []byte, conn net.Conn, gone <-chan struct{})
}

// start listens until the end of the test and returns the address.
func (s hostileServer) start(t testing.TB) string {
	t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	for udp == nil { // the same port may be in use over UDP
		var err error
		if tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err != nil {
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
			query := slices.Clone(buf[:n])
			send := func(message []byte) { udp.WriteTo(message, from) }
			if s.datagrams == nil {
				send(reply(query, truncatedReply, nil, nil, nil))
			} else {
				serving.Go(func() { s.datagrams(query, send, done) })
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
				if query, err := readMessage(conn); err == nil && s.stream != nil {
					gone := make(chan struct{})
					serving.Go(func() { io.Copy(io.Discard, conn); close(gone) })
					s.stream(query, conn, gone)
				}
			})
		}
	})
	return tcp.Addr().String()
}

// says returns a hostileServer that sends one message, over UDP if overUDP and the message
// fits, else over TCP.
func says(overUDP bool, message func(query []byte) []byte) hostileServer {
	s := hostileServer{stream: func(query []byte, conn net.Conn, _ <-chan struct{}) {
		conn.Write(framed(message(query)))
	}}
	if overUDP {
		s.datagrams = func(query []byte, send func([]byte), _ <-chan struct{}) {
			m := message(query)
			if len(m) > maxDatagram {
				m = reply(query, truncatedReply, nil, nil, nil)
			}
			send(m)
		}
	}
	return s
}

// maxDatagram is the size that net announces by EDNS.
const maxDatagram = 1232

func readMessage(r io.Reader) ([]byte, error) {
	size := make([]byte, 2)
	if _, err := io.ReadFull(r, size); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size))
	_, err := io.ReadFull(r, message)
	return message, err
}

func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

// Messages are encoded here, for dnsmessage does not encode malformed ones.

// The flags of a header (RFC 1035, Section 4.1.1): a reply of a resolver to a
// query that asked for recursion, with a response code in its last four bits.
const (
	goodReply      = 0x8180
	truncatedReply = 0x8380
	nameError      = goodReply | uint16(dnsmessage.RCodeNameError)
)

const headerSize = 12

// asked returns the question of a query as octets, and its type.
func asked(query []byte) (question []byte, kind dnsmessage.Type) {
	end := headerSize
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 1 + 4
	return query[headerSize:end], dnsmessage.Type(binary.BigEndian.Uint16(query[end-4:]))
}

// reply returns a message with the id and the question of query, and with the records of
// the sections.
func reply(query []byte, flags uint16, answers, authorities, additionals [][]byte) []byte {
	question, _ := asked(query)
	be := binary.BigEndian
	m := slices.Clone(query[:2])
	m = be.AppendUint16(m, flags)
	m = be.AppendUint16(m, 1)
	m = be.AppendUint16(m, uint16(len(answers)))
	m = be.AppendUint16(m, uint16(len(authorities)))
	m = be.AppendUint16(m, uint16(len(additionals)))
	m = append(m, question...)
	for _, section := range [][][]byte{answers, authorities, additionals} {
		m = append(m, slices.Concat(section...)...)
	}
	return m
}

// here is the name in the question, by a pointer to it.
var here = pointer(headerSize)

func pointer(offset int) []byte { return []byte{0xc0 | byte(offset>>8), byte(offset)} }

// name returns labels on the wire.
func name(labels ...string) (wire []byte) {
	for _, label := range labels {
		wire = append(append(wire, byte(len(label))), label...)
	}
	return append(wire, 0)
}

// rr returns a resource record.
func rr(owner []byte, kind dnsmessage.Type, data []byte) []byte {
	return rrOfSize(owner, kind, len(data), data)
}

// rrOfSize is rr with a length that may differ from that of data.
func rrOfSize(owner []byte, kind dnsmessage.Type, size int, data []byte) []byte {
	b := slices.Clone(owner)
	b = binary.BigEndian.AppendUint16(b, uint16(kind))
	b = append(b, 0, 1, 0, 0, 0, 60) // class IN, a TTL of a minute
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	return append(b, data...)
}

// wanted returns a valid record of the type of the query.
func wanted(query, owner []byte) []byte {
	_, kind := asked(query)
	return rr(owner, kind, map[dnsmessage.Type][]byte{
		dnsmessage.TypeTXT:  append([]byte{14}, "v=STSv1; id=1;"...),
		dnsmessage.TypeMX:   append([]byte{0, 10}, name("mx", "example")...),
		dnsmessage.TypeA:    {192, 0, 2, 1},
		dnsmessage.TypeAAAA: {0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: 1},
	}[kind])
}

func soa(owner []byte) []byte {
	return rr(owner, dnsmessage.TypeSOA, slices.Concat(name("ns", "example"), name("root", "example"), make([]byte, 20)))
}

// good returns a valid answer.
func good(query []byte) []byte {
	return reply(query, goodReply, [][]byte{wanted(query, here)}, nil, nil)
}

// absent and empty return the two forms of an answer without records.
func absent(query []byte) []byte {
	return reply(query, nameError, nil, [][]byte{soa(here)}, nil)
}

func empty(query []byte) []byte {
	return reply(query, goodReply, nil, [][]byte{soa(here)}, nil)
}

// queryFor returns a query for a name of one label.
func queryFor(kind dnsmessage.Type, label string) []byte {
	query := slices.Concat([]byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, name(label))
	query = binary.BigEndian.AppendUint16(query, uint16(kind))
	return append(query, 0, 1)
}

// questionEnd returns where the question of a message ends.
func questionEnd(message []byte) int {
	question, _ := asked(message)
	return headerSize + len(question)
}

// altered returns a function that makes a message and alters it.
func altered(message func([]byte) []byte, alter func([]byte)) func([]byte) []byte {
	return func(query []byte) []byte {
		m := slices.Clone(message(query))
		alter(m)
		return m
	}
}

// owner returns an answer with a record whose name consists of the octets that make
// returns for their position. They may point to octets after them.
func owner(octets func(at int) []byte) func([]byte) []byte {
	return func(query []byte) []byte {
		return reply(query, goodReply, [][]byte{wanted(query, octets(questionEnd(query)))}, nil, nil)
	}
}

// pointers returns n+1 pointers, each to the next, and then a label.
func pointers(n int) func(at int) []byte {
	return func(at int) (b []byte) {
		for i := range n {
			b = append(b, pointer(at+2*i+2)...)
		}
		return append(b, name("a")...)
	}
}

// withData returns an answer with a record that claims size octets of data.
func withData(size int, data []byte) func([]byte) []byte {
	return func(query []byte) []byte {
		_, kind := asked(query)
		return reply(query, goodReply, [][]byte{rrOfSize(here, kind, size, data)}, nil, nil)
	}
}

// chain returns n CNAMEs from the name in the question to label(n).
func chain(n int) (records [][]byte) {
	from := here
	for i := range n {
		to := label(i + 1)
		records = append(records, rr(from, dnsmessage.TypeCNAME, to))
		from = to
	}
	return records
}

func label(i int) []byte { return name("a" + strconv.Itoa(i)) }
