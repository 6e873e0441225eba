package resolver

import (
	"context"
	"encoding/binary"
	"io"
	"net"

	"golang.org/x/net/dns/dnsmessage"
)

// netResolver returns a net.Resolver for one look-up, which ctx ends. An empty
// server stands for those of the machine's configuration.
//
// Its connections do two things that net leaves undone: they are closed when ctx
// ends, for net would go on waiting for the answer to a query that was cancelled;
// and a reply that says nothing reaches net as a server failure, for net takes
// any reply without the wanted records for their absence. It then goes on to the
// next server, as it does after a SERVFAIL.
func netResolver(ctx context.Context, server string) *net.Resolver {
	return &net.Resolver{
		PreferGo: true, // the C library has other errors, and cannot be given a server
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
				return &datagramConn{udp, stop}, nil
			}
			return &streamConn{Conn: conn, stop: stop}, nil
		},
	}
}

// datagramConn carries one message per Read. Being a net.PacketConn, which it has
// from *net.UDPConn, is how it tells net so.
type datagramConn struct {
	*net.UDPConn
	stop func() bool
}

func (c *datagramConn) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	if inconclusive(b[:n]) {
		fail(b[:n])
	}
	return n, err
}

func (c *datagramConn) Close() error {
	c.stop()
	return c.UDPConn.Close()
}

// streamConn carries messages that follow their length in two octets (RFC 1035,
// Section 4.2.2). net reads a single one.
type streamConn struct {
	net.Conn
	stop  func() bool
	reply []byte // what net has not read yet of the message and its length
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
		// A message that is cut even here has nowhere else to go, and half of the
		// records are no answer: the missing half may hold a second policy record.
		if truncated(message) || inconclusive(message) {
			fail(message)
		}
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

// records is how many records a message says that it has (RFC 1035, Section
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

// maxRecords is more than any name needs, and about twice what fits into a reply
// over UDP. For each address in a reply net opens a socket, to learn which are
// within reach; and two octets of a message can refer to a name of 255, which is
// then read for each of thousands of records.
const maxRecords = 200

// inconclusive reports whether a message that claims success neither holds the
// records asked for nor says that there are none. RFC 2308, Section 2.2, has the
// forms of "there are none": an SOA record in the authority section, or else an
// empty reply that is not a referral to other servers.
//
// Nor does a message say anything that has more than maxRecords, or that says
// NXDOMAIN and then cannot be read. Replies with another code, and other ones
// that cannot be read, are judged by net.
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

	alias := false // the answer is a CNAME, or a chain of them, that leads nowhere
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
	// A referral; a server that does not recurse, for a zone it does not have; or
	// one that has the alias but not the zone to which it leads.
	return true
}
