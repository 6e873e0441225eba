package resolver_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mtasts/go-mtasts/resolver"
)

// A script is a connection to a server that sends fixed octets.
type script struct {
	io.Reader
	query []byte
}

func (s *script) Write(b []byte) (int, error)      { s.query = append(s.query, b...); return len(b), nil }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzStream reads messages from a stream of any octets, in pieces of any size. Each
// message arrives whole and unchanged, except for the code of an inconclusive one. A
// truncated message does not arrive.
func FuzzStream(f *testing.F) {
	for _, h := range hostile {
		f.Add(framed(h.message(queryFor(dnsmessage.TypeTXT, "a"))), byte(1))
	}
	f.Add([]byte{0, 0, 0, 1, 'x', 0xff, 0xff}, byte(255))
	f.Fuzz(func(t *testing.T, stream []byte, piece byte) {
		got, err := readInPieces(resolver.NewStream(&script{Reader: bytes.NewReader(stream)}), int(piece)+1)
		if err == nil {
			t.Fatal("the end of the stream is no error")
		}
		for rest := stream; len(rest) >= 2; {
			end := 2 + int(binary.BigEndian.Uint16(rest))
			if end > len(rest) {
				break
			}
			sent := rest[:end]
			rest = rest[end:]
			if len(got) < end {
				t.Fatalf("%x is not passed on", sent)
			}
			message := bytes.Clone(got[:end])
			got = got[end:]
			if !bytes.Equal(message, sent) {
				if message[5]&0x0f != byte(dnsmessage.RCodeServerFailure) {
					t.Fatalf("%x became %x", sent, message)
				}
				message[5] = sent[5]
			}
			if !bytes.Equal(message, sent) {
				t.Fatalf("%x became %x", sent, message)
			}
		}
		if len(got) > 0 {
			t.Fatalf("more was read than was sent: %x", got)
		}
	})
}

func readInPieces(r io.Reader, size int) (all []byte, err error) {
	buf := make([]byte, size)
	for err == nil {
		var n int
		n, err = r.Read(buf)
		all = append(all, buf[:n]...)
	}
	return all, err
}

// FuzzAnswer makes look-ups at a server that sends any message with the right id and
// question. The result is an answer or a *net.DNSError. IsNotFound is true only for a
// well-formed message that says so.
func FuzzAnswer(f *testing.F) {
	types := []dnsmessage.Type{dnsmessage.TypeTXT, dnsmessage.TypeMX, dnsmessage.TypeA, dnsmessage.TypeAAAA}
	for i, kind := range types {
		query := queryFor(kind, "a")
		for _, h := range hostile {
			if m := h.message(query); len(m) >= questionEnd(query) {
				f.Add(byte(i), m[2:headerSize], m[questionEnd(query):])
			}
		}
	}
	f.Fuzz(func(t *testing.T, choice byte, header, sections []byte) {
		if len(header) != headerSize-2 {
			return
		}
		kind := types[int(choice)%len(types)]
		var message []byte
		dns := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return resolver.NewStream(&answering{script{}, func(query []byte) []byte {
				question, _ := asked(query)
				message = bytes.Join([][]byte{query[:2], header, question, sections}, nil)
				return message
			}}), nil
		}}
		err := lookUp(t.Context(), dns, kind, "a.")
		if err == nil {
			return
		}
		failed, ok := errors.AsType[*net.DNSError](err)
		switch {
		case !ok:
			t.Errorf("%v: got %#v of %x", kind, err, message)
		case failed.IsNotFound && !saysNone(message):
			t.Errorf("%v: %v, but the message says no such thing: %x", kind, err, message)
		}
	})
}

func lookUp(ctx context.Context, dns *net.Resolver, kind dnsmessage.Type, name string) (err error) {
	switch kind {
	case dnsmessage.TypeTXT:
		_, err = dns.LookupTXT(ctx, name)
	case dnsmessage.TypeMX:
		_, err = dns.LookupMX(ctx, name)
	case dnsmessage.TypeA:
		_, err = dns.LookupNetIP(ctx, "ip4", name)
	case dnsmessage.TypeAAAA:
		_, err = dns.LookupNetIP(ctx, "ip6", name)
	}
	return err
}

// answering is a script that depends on the query.
type answering struct {
	script
	answer func(query []byte) []byte
}

func (a *answering) Read(b []byte) (int, error) {
	if a.Reader == nil {
		a.Reader = bytes.NewReader(framed(a.answer(a.query[2:])))
	}
	return a.Reader.Read(b)
}
