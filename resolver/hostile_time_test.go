package resolver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mtasts/go-mtasts/internal/testcost"
	"github.com/mtasts/go-mtasts/resolver"
)

// endless are servers that send without end and never answer.
var endless = map[string]hostileServer{
	"a length and silence": {stream: func(_ []byte, conn net.Conn, gone <-chan struct{}) {
		conn.Write([]byte{0xff, 0xff})
		<-gone
	}},
	"half a length and silence": {stream: func(_ []byte, conn net.Conn, gone <-chan struct{}) {
		conn.Write([]byte{0})
		<-gone
	}},
	"an answer shorter than its length": {stream: func(query []byte, conn net.Conn, gone <-chan struct{}) {
		m := framed(good(query))
		m[1]++
		conn.Write(m)
		<-gone
	}},
	"an octet now and then": {stream: func(query []byte, conn net.Conn, gone <-chan struct{}) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for _, octet := range framed(good(query)) {
			if _, err := conn.Write([]byte{octet}); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-gone:
				return
			}
		}
	}},
	"datagrams for others": {datagrams: func(query []byte, send func([]byte), gone <-chan struct{}) {
		query[0] ^= 0xff
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range 1000 {
			for range 10 {
				send(good(query))
			}
			select {
			case <-tick.C:
			case <-gone:
				return
			}
		}
	}},
}

func TestSystemWithAnEndlessAnswer(t *testing.T) {
	for what, server := range endless {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dns := resolver.System{Server: server.start(t)}
			begin := time.Now()
			_, err := dns.WithLimit(100*time.Millisecond).LookupTXT(t.Context(), "_mta-sts.example.com.")
			if failed, ok := errors.AsType[*net.DNSError](err); !ok || !failed.IsTimeout || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("by its own limit: got %#v", err)
			}

			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err = dns.LookupTXT(ctx, "_mta-sts.example.com.")
			if _, ok := errors.AsType[*net.DNSError](err); !ok || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("by the caller's deadline: got %#v", err)
			}
			if took := time.Since(begin); took > 4*time.Second {
				t.Errorf("the two look-ups took %v", took)
			}
		})
	}
}

// Wrong answers do not hide the right one.
func TestSystemFindsTheAnswerAmongWrongOnes(t *testing.T) {
	server := hostileServer{datagrams: func(query []byte, send func([]byte), _ <-chan struct{}) {
		for i := range 100 { // a socket holds some 250
			forged := good(query)
			switch i % 4 {
			case 0:
				forged[0]++
			case 1:
				forged[headerSize+1] ^= 1
			case 2:
				forged[2] &^= 0x80
			case 3:
				forged = forged[:i%headerSize]
			}
			send(forged)
		}
		send(good(query))
	}}
	dns := resolver.System{Server: server.start(t)}
	for kind, ask := range kinds {
		got, err := ask(dns, t.Context(), "_mta-sts.example.com.")
		checkOutcome(t, kind.String(), answered, got, err)
	}
}

// The length of a TCP message may be 0, or less than what is sent. Nothing after the first
// message is read.
func TestSystemReadsOneMessage(t *testing.T) {
	for what, test := range map[string]struct {
		octets func(query []byte) []byte
		want   outcome
	}{
		"no octets":          {func([]byte) []byte { return []byte{0, 0} }, refused},
		"too short a length": {func(q []byte) []byte { m := framed(good(q)); m[1]--; return m }, refused},
		"a second message":   {func(q []byte) []byte { return append(framed(good(q)), framed(absent(q))...) }, answered},
		"a megabyte": {func(q []byte) []byte {
			return append(framed(good(q)), make([]byte, 1<<20)...)
		}, answered},
	} {
		t.Run(what, func(t *testing.T) {
			server := hostileServer{stream: func(query []byte, conn net.Conn, _ <-chan struct{}) { conn.Write(test.octets(query)) }}
			dns := resolver.System{Server: server.start(t)}
			for kind, ask := range kinds {
				got, err := ask(dns, t.Context(), "_mta-sts.example.com.")
				checkOutcome(t, kind.String(), test.want, got, err)
			}
		})
	}
}

// large are messages of the largest size over TCP, 65535 octets.
var large = map[string]struct {
	kind    dnsmessage.Type
	message func(query []byte) []byte
	want    func(got any) bool // nil: refused
}{
	"a TXT record": {dnsmessage.TypeTXT, func(q []byte) []byte {
		return filled(q, func(room int) []byte {
			text := bytes.Repeat(append([]byte{255}, strings.Repeat("x", 255)...), (room-12)/256)
			return rr(here, dnsmessage.TypeTXT, text)
		})
	}, func(got any) bool { return len(got.([]string)) == 1 && len(got.([]string)[0]) > 65000 }},
	"a TXT record of empty strings": {dnsmessage.TypeTXT, func(q []byte) []byte {
		return filled(q, func(room int) []byte { return rr(here, dnsmessage.TypeTXT, make([]byte, room-12)) })
	}, func(got any) bool { return slices.Equal(got.([]string), []string{""}) }},
	"a name that never ends": {dnsmessage.TypeTXT, func(q []byte) []byte {
		return filled(q, func(room int) []byte { return bytes.Repeat(name("a")[:2], room/2) })
	}, nil},
	"a name that leads back to its beginning": {dnsmessage.TypeTXT, func(q []byte) []byte {
		return filled(q, func(room int) []byte {
			return append(bytes.Repeat(name("a")[:2], room/2-1), pointer(questionEnd(q))...)
		})
	}, nil},
	"thousands of TXT records":                      {dnsmessage.TypeTXT, full(dnsmessage.TypeTXT, []byte{0}), nil},
	"thousands of TXT records with a long name":     {dnsmessage.TypeTXT, fullOfLongNames(dnsmessage.TypeTXT, []byte{0}, false), nil},
	"thousands of MX records with two long names":   {dnsmessage.TypeMX, fullOfLongNames(dnsmessage.TypeMX, []byte{0, 1}, true), nil},
	"thousands of addresses":                        {dnsmessage.TypeA, full(dnsmessage.TypeA, []byte{192, 0, 2, 1}), nil},
	"thousands of IPv6 addresses":                   {dnsmessage.TypeAAAA, full(dnsmessage.TypeAAAA, []byte{0: 0x20, 1: 0x01, 15: 1}), nil},
	"thousands of CNAMEs with two long names":       {dnsmessage.TypeTXT, fullOfLongNames(dnsmessage.TypeCNAME, nil, true), nil},
	"thousands of records of a type never asked":    {dnsmessage.TypeTXT, fullOfLongNames(dnsmessage.Type(65280), nil, false), nil},
	"a thousand CNAMEs, each to the next":           {dnsmessage.TypeTXT, func(q []byte) []byte { return reply(q, goodReply, chain(1000), nil, nil) }, nil},
	"a thousand CNAMEs, each to the next, NXDOMAIN": {dnsmessage.TypeTXT, func(q []byte) []byte { return reply(q, nameError, chain(1000), nil, nil) }, nil},
}

// filled returns a message of at most 65535 octets with one answer, which octets makes for
// a given size.
func filled(query []byte, octets func(room int) []byte) []byte {
	head := reply(query, goodReply, [][]byte{nil}, nil, nil)
	return append(head, octets(65535-len(head))...)
}

// full returns a message with as many records as fit.
func full(kind dnsmessage.Type, data []byte) func([]byte) []byte {
	return func(query []byte) []byte {
		record := rr(here, kind, data)
		n := (65535 - questionEnd(query)) / len(record)
		return reply(query, goodReply, slices.Repeat([][]byte{record}, n), nil, nil)
	}
}

// fullOfLongNames is full with names of 254 octets for the owners, and after data if it
// is not nil.
func fullOfLongNames(kind dnsmessage.Type, data []byte, named bool) func([]byte) []byte {
	return func(query []byte) []byte {
		at := questionEnd(query)
		long := name(slices.Repeat([]string{"a"}, 126)...)
		if named {
			data = append(slices.Clip(data), pointer(at)...)
		}
		first, next := rr(long, kind, data), rr(pointer(at), kind, data)
		n := (65535 - at - len(first)) / len(next)
		return reply(query, goodReply, append([][]byte{first}, slices.Repeat([][]byte{next}, n)...), nil, nil)
	}
}

// No message costs more than 10 ms of CPU, whatever is in it.
func TestSystemSpendsLittleOnAnyAnswer(t *testing.T) {
	for what, test := range large {
		t.Run(what, func(t *testing.T) {
			var message []byte
			var tries atomic.Int32
			server := says(false, func(query []byte) []byte {
				if tries.Add(-1) < 0 { // net repeats the query once if there is no answer
					return reply(query, goodReply|uint16(dnsmessage.RCodeRefused), nil, nil, nil)
				}
				if message == nil {
					message = test.message(query)
				}
				copy(message, query[:2])
				return message
			}).start(t)
			look := func() (any, error) {
				return kinds[test.kind](resolver.System{Server: server}, t.Context(), "_mta-sts.example.com.")
			}

			tries.Store(2)
			got, err := look()
			switch {
			case test.want == nil:
				checkOutcome(t, what, refused, got, err)
			case err != nil || !test.want(got):
				t.Errorf("got %.100q, %v", fmt.Sprint(got), err)
			}
			testcost.Under(t, what, func() {
				tries.Store(1)
				look()
			})
		})
	}
}
