package resolver

import (
	"context"
	"encoding/binary"
	"io"
	"net"

	"golang.org/x/net/dns/dnsmessage"
)

// netResolver returns a net.Resolver for one look-up, which ctx ends. An empty server
// stands for those of the machine's configuration.
//
// Its connections add two things to net. They close when ctx ends; net would wait on for
// the answer to a cancelled query. And they turn an inconclusive reply into a server
// failure; net would treat any reply without the wanted records as their absence. After
// a server failure, net asks the next server.
func netResolver(ctx context.Context, server string) *net.Resolver {
	raw, _ := ctx.Value(rawKey{}).(*rawLookup)
	return &net.Resolver{
		PreferGo: true, // the C library has other errors, and no choice of server
		Dial: func(dialCtx context.Context, network, address string) (net.Conn, error) {
			if server != "" {
				address = server
			}
			var dialer net.Dialer
			conn, err := dialer.DialContext(dialCtx, network, address)
			if err != nil {
				return nil, err
			}
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			if udp, ok := conn.(*net.UDPConn); ok {
				return &datagramConn{udp, stop, raw}, nil
			}
			return &streamConn{Conn: conn, stop: stop, raw: raw}, nil
		},
	}
}

// datagramConn carries one message per Read. net knows this because it is a
// net.PacketConn, by way of *net.UDPConn.
type datagramConn struct {
	*net.UDPConn
	stop func() bool
	raw  *rawLookup
}

func (c *datagramConn) Write(b []byte) (int, error) {
	return c.UDPConn.Write(c.raw.query(b, 0))
}

func (c *datagramConn) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	if inconclusive(b[:n]) {
		fail(b[:n])
	}
	c.raw.reply(b[:n])
	return n, err
}

func (c *datagramConn) Close() error {
	c.stop()
	return c.UDPConn.Close()
}

// streamConn carries messages with their length in two octets in front (RFC 1035,
// Section 4.2.2). net reads a single one.
type streamConn struct {
	net.Conn
	stop  func() bool
	raw   *rawLookup
	reply []byte // what net has not read yet of the message and its length
}

func (c *streamConn) Write(b []byte) (int, error) {
	return c.Conn.Write(c.raw.query(b, 2)) // behind the length
}

func (c *streamConn) Read(b []byte) (int, error) {
	if len(c.reply) == 0 {
		size := make([]byte, 2)
		if _, err := io.ReadFull(c.Conn, size); err != nil {
			return 0, err
		}
		message := make([]byte, binary.BigEndian.Uint16(size))
		if _, err := io.ReadFull(c.Conn, message); err != nil {
			return 0, err
		}
		// There is no larger transport for a message that is truncated here. Some of
		// the records are no answer: the others may hold a second policy record.
		if truncated(message) || inconclusive(message) {
			fail(message)
		}
		c.raw.reply(message)
		c.reply = append(size, message...)
	}
	n := copy(b, c.reply)
	c.reply = c.reply[n:]
	return n, nil
}

func (c *streamConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// fail sets the response code of a message to SERVFAIL (RFC 1035, Section 4.1.1).
func fail(message []byte) {
	message[3] = message[3]&^0x0f | byte(dnsmessage.RCodeServerFailure)
}

// records returns the number of records by the header of a message (RFC 1035, Section
// 4.1.1).
func records(message []byte) (n int) {
	for i := 6; i < 12; i += 2 {
		n += int(binary.BigEndian.Uint16(message[i:]))
	}
	return n
}

func truncated(message []byte) bool {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	return err == nil && h.Truncated
}

// maxRecords is more than any name needs, and about twice what fits into a reply over
// UDP. It bounds the cost of an untrusted reply: net opens a socket for each address, to
// learn which have a route; and by compression, each of thousands of records can have a
// name of 255 octets.
const maxRecords = 200

// inconclusive reports whether a successful reply neither holds the records asked for
// nor says that there are none. By RFC 2308, Section 2.2, a reply says so with an SOA
// record in the authority section, or by being empty without a referral to other servers.
//
// A reply with more than maxRecords is inconclusive too, and so is NXDOMAIN in a
// malformed reply. Any other reply with an error code, or that is malformed, is left to
// net.
func inconclusive(message []byte) bool {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || !h.Response {
		return false
	}
	question, err := p.Question()
	if err != nil || p.SkipAllQuestions() != nil {
		return false
	}
	switch {
	case records(message) > maxRecords:
		return true
	case h.RCode == dnsmessage.RCodeNameError:
		return p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil
	case h.RCode != dnsmessage.RCodeSuccess:
		return false
	}

	alias := false // the answer is only a CNAME, or a chain of them
	for {
		answer, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil || answer.Type == question.Type {
			return false
		}
		alias = alias || answer.Type == dnsmessage.TypeCNAME
		if p.SkipAnswer() != nil {
			return false
		}
	}

	referral := false
	for {
		authority, err := p.AuthorityHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil {
			return true
		}
		if authority.Type == dnsmessage.TypeSOA {
			return p.SkipAllAuthorities() != nil
		}
		referral = referral || authority.Type == dnsmessage.TypeNS
		if p.SkipAuthority() != nil {
			return true
		}
	}

	switch {
	case h.Authoritative && !alias:
		return false
	case h.RecursionAvailable && !referral:
		return false
	}
	// It is a referral, or comes from a server that does not recurse: the zone of the
	// name, or of the target of its alias, is on another server.
	return true
}
