package resolver_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mtasts/go-mtasts/resolver"
)

// An outcome is the result of a look-up.
type outcome int

const (
	refused  outcome = iota // an error without IsNotFound
	ignored                 // the same; over UDP after the wait for another answer
	either                  // the records, or refused
	answered                // the records
	denied                  // an error with IsNotFound
)

// kinds are the look-ups, by the type of record.
var kinds = map[dnsmessage.Type]asker{
	dnsmessage.TypeTXT: txt, dnsmessage.TypeMX: mx, dnsmessage.TypeA: ip("ip4"), dnsmessage.TypeAAAA: ip("ip6"),
}

// hostile are replies to a query of any type.
var hostile = map[string]struct {
	message func(query []byte) []byte
	want    outcome
}{
	"nothing wrong": {good, answered},
	"NXDOMAIN":      {absent, denied},
	"no records":    {empty, denied},

	"no octets":         {func([]byte) []byte { return nil }, ignored},
	"a header alone":    {func(q []byte) []byte { return good(q)[:headerSize] }, ignored},
	"another id":        {altered(good, func(m []byte) { m[1]++ }), ignored},
	"a query":           {altered(good, func(m []byte) { m[2] &^= 0x80 }), ignored},
	"the query itself":  {func(q []byte) []byte { return q }, ignored},
	"another name":      {altered(good, func(m []byte) { m[headerSize+1] ^= 1 }), ignored},
	"another type":      {altered(good, func(m []byte) { m[questionEnd(m)-3] ^= 1 }), ignored},
	"another class":     {altered(good, func(m []byte) { m[questionEnd(m)-1] ^= 1 }), ignored},
	"no question":       {func(q []byte) []byte { return slices.Concat(q[:2], []byte{0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0}) }, ignored},
	"two questions":     {altered(good, func(m []byte) { m[5] = 2 }), refused},
	"NXDOMAIN, id":      {altered(absent, func(m []byte) { m[0]++ }), ignored},
	"NXDOMAIN, name":    {altered(absent, func(m []byte) { m[headerSize+1] ^= 1 }), ignored},
	"no records, query": {altered(empty, func(m []byte) { m[2] &^= 0x80 }), ignored},

	"counts without records":     {altered(good, func(m []byte) { copy(m[6:], bytes.Repeat([]byte{0xff}, 6)); clear(m[questionEnd(m):]) }), refused},
	"a count of answers too low": {altered(good, func(m []byte) { m[7] = 0 }), denied}, // what follows the last section is ignored
	"no records, and a count":    {altered(empty, func(m []byte) { m[9] = 2 }), refused},
	"NXDOMAIN, and a count":      {altered(absent, func(m []byte) { m[9] = 2 }), refused},
	"a count without records":    {altered(empty, func(m []byte) { m[7] = 255 }), refused},
	"an answer, then a count":    {altered(good, func(m []byte) { m[9] = 1 }), answered},
	"an answer, then counts":     {altered(good, func(m []byte) { copy(m[8:], bytes.Repeat([]byte{0xff}, 4)) }), refused},

	"a pointer to itself":         {owner(func(at int) []byte { return pointer(at) }), refused},
	"two pointers at each other":  {owner(func(at int) []byte { return append(pointer(at+2), pointer(at)...) }), refused},
	"a pointer beyond the end":    {owner(func(int) []byte { return pointer(0x3fff) }), refused},
	"a pointer into the header":   {owner(func(int) []byte { return pointer(2) }), refused},
	"half a pointer":              {func(q []byte) []byte { return append(reply(q, goodReply, [][]byte{nil}, nil, nil), 0xc0) }, refused},
	"a reserved label":            {owner(func(int) []byte { return []byte{0x40, 'a', 0} }), refused},
	"another reserved label":      {owner(func(int) []byte { return []byte{0x80, 'a', 0} }), refused},
	"a label beyond the end":      {owner(func(int) []byte { return []byte{63} }), refused},
	"a label with a dot":          {owner(func(int) []byte { return name("a.b") }), refused},
	"a name of 300 octets":        {owner(func(int) []byte { return name(slices.Repeat([]string{"123456789"}, 30)...) }), refused},
	"a name of 1000 octets":       {owner(func(int) []byte { return name(slices.Repeat([]string{"123456789"}, 100)...) }), refused},
	"a hundred pointers in a row": {owner(pointers(100)), refused},
	"ten pointers in a row":       {owner(pointers(9)), refused}, // they lead to another name than that of the query

	"a record beyond the end":    {withData(1000, []byte{1, 2, 3, 4}), either}, // four octets are an address
	"a record of no octets":      {withData(0, nil), either},                   // of type TXT, a record without strings is an empty one
	"a record of one octet":      {withData(1, []byte{1}), refused},
	"a record of three octets":   {withData(3, []byte{3, 1, 1}), refused},
	"a string beyond its record": {withData(4, []byte{200, 1, 2, 3}), either}, // of type A, an address

	"a CNAME to nowhere, and the zone": {func(q []byte) []byte {
		return reply(q, goodReply, chain(1), [][]byte{soa(name("end"))}, nil)
	}, denied},
	"ten CNAMEs to the records": {func(q []byte) []byte {
		return reply(q, goodReply, append(chain(10), wanted(q, label(10))), nil, nil)
	}, answered},
	"ten CNAMEs to an NXDOMAIN": {func(q []byte) []byte {
		return reply(q, nameError, chain(10), [][]byte{soa(name("end"))}, nil)
	}, denied},
	"a CNAME whose data is a loop": {func(q []byte) []byte {
		m := reply(q, goodReply, nil, nil, nil)
		m[7] = 1
		return append(m, rr(here, dnsmessage.TypeCNAME, pointer(len(m)+12))...)
	}, denied}, // the server must follow the alias, and says that there is no more
	"an SOA whose data is a loop": {func(q []byte) []byte {
		m := reply(q, goodReply, nil, nil, nil)
		m[9] = 1
		return append(m, rr(here, dnsmessage.TypeSOA, pointer(len(m)+12))...)
	}, denied},
}

func TestSystemWithAHostileServer(t *testing.T) {
	for what, h := range hostile {
		for transport, overUDP := range map[string]bool{"UDP": true, "TCP": false} {
			t.Run(what+" over "+transport, func(t *testing.T) {
				t.Parallel()
				dns := resolver.System{Server: says(overUDP, h.message).start(t)}
				if h.want == ignored {
					dns = dns.WithLimit(100 * time.Millisecond)
				}
				var asking sync.WaitGroup
				defer asking.Wait()
				for kind, ask := range kinds {
					asking.Go(func() {
						got, err := ask(dns, t.Context(), "_mta-sts.example.com.")
						checkOutcome(t, kind.String(), h.want, got, err)
					})
				}
			})
		}
	}
}

// checkOutcome checks the outcome of a look-up.
func checkOutcome(t *testing.T, what string, want outcome, got any, err error) {
	t.Helper()
	if want == either && err == nil {
		return
	}
	if want == answered {
		if err != nil || !slices.Contains(goodAnswers, fmt.Sprint(got)) {
			t.Errorf("%s: got %.200q, %v; want the records", what, fmt.Sprint(got), err)
		}
		return
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		t.Errorf("%s: got %.200q, %v; want a *net.DNSError", what, fmt.Sprint(got), err)
		return
	case dns.IsNotFound != (want == denied):
		t.Errorf("%s: IsNotFound is %v: %v", what, dns.IsNotFound, err)
	}
	checkText(t, err)
}

var goodAnswers = []string{"[v=STSv1; id=1;]", "[{mx.example. 10}]", "[192.0.2.1]", "[2001:db8::1]"}

// checkText checks that the text of an error is fit for a log.
func checkText(t *testing.T, err error) {
	t.Helper()
	if s := err.Error(); len(s) > 1000 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the text of the error holds untrusted text: %.1000q", s)
	}
}

// An answer that is truncated at any octet is not an answer.
func TestSystemWithATruncatedAnswer(t *testing.T) {
	for what, whole := range map[string]func([]byte) []byte{"records": good, "no records": empty, "NXDOMAIN": absent} {
		for transport, overUDP := range map[string]bool{"UDP": true, "TCP": false} {
			t.Run(what+" over "+transport, func(t *testing.T) {
				// The name says where to truncate, such as x001. or x099.
				server := says(overUDP, func(query []byte) []byte {
					cut, err := strconv.Atoi(string(query[headerSize+2:][:3]))
					if err != nil {
						panic(err)
					}
					return whole(query)[:cut]
				}).start(t)
				var asking sync.WaitGroup
				defer asking.Wait()
				for kind, ask := range kinds {
					sample := queryFor(kind, "x001")
					cutTo := func(dns resolver.System, cut int) {
						got, err := ask(dns, t.Context(), fmt.Sprintf("x%03d.", cut))
						checkOutcome(t, fmt.Sprintf("type %s, cut to %d", kind, cut), refused, got, err)
					}
					for cut := range questionEnd(sample) {
						asking.Go(func() { cutTo(resolver.System{Server: server}.WithLimit(100*time.Millisecond), cut) })
					}
					for cut := questionEnd(sample); cut < len(whole(sample)); cut++ {
						cutTo(resolver.System{Server: server}, cut)
					}
				}
			})
		}
	}
}

// The result is an answer or a *net.DNSError. IsNotFound is true only for a well-formed
// message that says so.
func TestSystemWithRandomOctets(t *testing.T) {
	const asking, each = 8, 100
	var askers sync.WaitGroup
	defer askers.Wait()
	for seed := range uint64(asking) {
		askers.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex
			var last []byte
			server := says(false, func(query []byte) []byte {
				mu.Lock()
				defer mu.Unlock()
				last = garble(random, query)
				return last
			}).start(t)
			dns := resolver.System{Server: server}
			for range each {
				for kind, ask := range kinds {
					_, err := ask(dns, t.Context(), "_mta-sts.example.com.")
					if err == nil {
						continue
					}
					mu.Lock()
					last := last
					mu.Unlock()
					failed, ok := errors.AsType[*net.DNSError](err)
					switch {
					case !ok:
						t.Errorf("seed %d, %s: got %v of %x", seed, kind, err, last)
					case failed.IsNotFound && !saysNone(last):
						t.Errorf("seed %d, %s: %v, but the message says no such thing: %x", seed, kind, err, last)
					}
				}
			}
		})
	}
}

// garble returns random octets: alone, after a valid question, or in place of some octets
// of a valid message.
func garble(random *rand.Rand, query []byte) []byte {
	octets := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	switch random.IntN(4) {
	case 0:
		return octets(random.IntN(600))
	case 1:
		head := reply(query, goodReply, nil, nil, nil)
		for i := 6; i < headerSize; i++ {
			head[i] = byte(random.IntN(3))
		}
		return append(head, octets(random.IntN(300))...)
	}
	m := []func([]byte) []byte{good, absent, empty}[random.IntN(3)](query)
	for range 1 + random.IntN(4) {
		m[2+random.IntN(len(m)-2)] = byte(random.Uint32())
	}
	return m
}

// saysNone reports whether a message says that there are no records, by its code or by an
// answer without records of the type.
func saysNone(m []byte) bool {
	var p dnsmessage.Parser
	h, err := p.Start(m)
	if err != nil || !h.Response {
		return false
	}
	question, err := p.Question()
	if err != nil || p.SkipAllQuestions() != nil {
		return false
	}
	if h.RCode == dnsmessage.RCodeNameError {
		return p.SkipAllAnswers() == nil && p.SkipAllAuthorities() == nil
	}
	if h.RCode != dnsmessage.RCodeSuccess {
		return false
	}
	for {
		record, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			return p.SkipAllAuthorities() == nil
		}
		if err != nil || record.Type == question.Type || p.SkipAnswer() != nil {
			return false
		}
	}
}
