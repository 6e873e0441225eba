package resolver_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mtasts/go-mtasts/resolver"
)

// RFC 8461, Section 3.1: "If the resulting TXT record contains multiple strings,
// then the record MUST be treated as if those strings are concatenated together
// without adding spaces."
func TestRFC8461_3_1_StringsOfARecordAreJoined(t *testing.T) {
	server := (&dnsServer{special: map[string]handler{
		"_mta-sts.example.com.": func(reply dnsmessage.Message, _ string) [][]byte {
			reply.Answers = []dnsmessage.Resource{
				record("_mta-sts.example.com.", &dnsmessage.TXTResource{TXT: []string{"v=STSv1; id=2016", "", "0831", "085700Z;"}}),
				record("_mta-sts.example.com.", &dnsmessage.TXTResource{TXT: []string{"another ", "record"}}),
			}
			return messages(reply)
		},
	}}).start(t)
	got, err := resolver.System{Server: server.addr}.LookupTXT(t.Context(), "_mta-sts.example.com.")
	if want := []string{"v=STSv1; id=20160831085700Z;", "another record"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestSystemRepeatsATruncatedAnswerOverTCP(t *testing.T) {
	huge := strings.Repeat("x", 255*255) // 65280 octets of 65535 with the lengths
	server := (&dnsServer{zone: map[string]resolver.Records{"huge.example.": {TXT: []string{huge}}}}).start(t)
	got, err := resolver.System{Server: server.addr}.LookupTXT(t.Context(), "huge.example.")
	if err != nil || len(got) != 1 || got[0] != huge {
		t.Errorf("got %d records, %v", len(got), err)
	}
	if asked, want := server.queries(), []string{"udp TXT huge.example.", "tcp TXT huge.example."}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestSystemNeverUsesTheSearchList(t *testing.T) {
	server := (&dnsServer{}).start(t)
	dns := resolver.System{Server: server.addr}
	for _, name := range []string{"nowhere", "nowhere."} {
		dns.LookupTXT(t.Context(), name)
		dns.LookupMX(t.Context(), name)
		dns.LookupNetIP(t.Context(), "ip4", name)
		dns.LookupNetIP(t.Context(), "ip6", name)
	}
	want := []string{"udp TXT nowhere.", "udp MX nowhere.", "udp A nowhere.", "udp AAAA nowhere."}
	if got := server.queries(); !slices.Equal(got, append(want, want...)) {
		t.Errorf("asked %q", got)
	}
}

func TestSystemIgnoresAnswersToOtherQuestions(t *testing.T) {
	forge := func(reply dnsmessage.Message, _ string) [][]byte {
		name := reply.Questions[0].Name.String()
		lie := record(name, &dnsmessage.TXTResource{TXT: []string{"forged"}})
		id, other, kind, query := reply, reply, reply, reply
		id.ID++
		id.Answers = []dnsmessage.Resource{lie}
		other.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("other.example."), Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET}}
		other.Answers = []dnsmessage.Resource{lie}
		kind.Questions = []dnsmessage.Question{{Name: reply.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
		kind.RCode = dnsmessage.RCodeNameError
		query.Response = false
		query.Answers = []dnsmessage.Resource{lie}
		list := append(messages(id, other, kind, query), []byte("junk"), nil)
		if strings.HasPrefix(name, "then-true") {
			reply.Answers = []dnsmessage.Resource{record(name, &dnsmessage.TXTResource{TXT: []string{"true"}})}
			list = append(list, messages(reply)...)
		}
		return list
	}
	server := (&dnsServer{special: map[string]handler{"then-true.example.": forge, "only-forged.example.": forge}}).start(t)
	dns := resolver.System{Server: server.addr}

	got, err := dns.LookupTXT(t.Context(), "then-true.example.")
	if err != nil || !slices.Equal(got, []string{"true"}) {
		t.Errorf("got %q, %v", got, err)
	}
	got, err = dns.WithLimit(200*time.Millisecond).LookupTXT(t.Context(), "only-forged.example.")
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || !dns.IsTimeout || dns.IsNotFound {
		t.Errorf("got %q, %v; want a time-out", got, err)
	}
}

// Records are absent only if an answer says so. Package net reports most of the temporary
// failures here as "no such host".
func TestSystemDistinguishesAbsenceFromFailure(t *testing.T) {
	const name = "_mta-sts.example.com."
	soa := record("example.com.", &dnsmessage.SOAResource{NS: dnsmessage.MustNewName("ns.example.com."), MBox: dnsmessage.MustNewName("root.example.com.")})
	ns := record("com.", &dnsmessage.NSResource{NS: dnsmessage.MustNewName("ns.example.net.")})
	alias := record(name, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("_mta-sts.example.net.")})
	glue := record("ns.example.net.", address(four))
	list := func(r ...dnsmessage.Resource) []dnsmessage.Resource { return r }

	for _, test := range []struct {
		what                string
		aa, ra              bool
		code                dnsmessage.RCode
		answer, auth, extra []dnsmessage.Resource
		notFound, temporary bool
	}{
		{what: "nxdomain", ra: true, code: dnsmessage.RCodeNameError, auth: list(soa), notFound: true},
		{what: "nxdomain behind an alias", ra: true, code: dnsmessage.RCodeNameError, answer: list(alias), auth: list(soa), notFound: true},
		{what: "nodata with SOA", ra: true, auth: list(soa), notFound: true},
		{what: "nodata with SOA and NS", ra: true, auth: list(ns, soa), extra: list(glue), notFound: true},
		{what: "nodata of a forwarder, no SOA", ra: true, notFound: true},
		{what: "nodata of the zone's own server", aa: true, auth: list(soa), notFound: true},
		{what: "nodata of the zone's own server, no SOA", aa: true, notFound: true},
		{what: "alias of no data", ra: true, answer: list(alias), auth: list(soa), notFound: true},
		{what: "alias of no data, no SOA", ra: true, answer: list(alias), notFound: true},

		{what: "referral", auth: list(ns), temporary: true},
		{what: "referral with glue", auth: list(ns), extra: list(glue), temporary: true},
		{what: "referral of a resolver", ra: true, auth: list(ns), temporary: true},
		{what: "nothing, of a server that knows nothing", extra: list(glue), temporary: true},
		{what: "alias into a zone of others", aa: true, answer: list(alias), temporary: true},
		{what: "servfail", ra: true, code: dnsmessage.RCodeServerFailure, temporary: true},
		{what: "refused", ra: true, code: dnsmessage.RCodeRefused},
		{what: "not implemented", ra: true, code: dnsmessage.RCodeNotImplemented},
		{what: "format error", ra: true, code: dnsmessage.RCodeFormatError},
	} {
		t.Run(test.what, func(t *testing.T) {
			special := func(reply dnsmessage.Message, _ string) [][]byte {
				reply.Authoritative, reply.RecursionAvailable, reply.RCode = test.aa, test.ra, test.code
				// Pack writes to the records, and queries come at the same time.
				reply.Answers, reply.Authorities, reply.Additionals = slices.Clone(test.answer), slices.Clone(test.auth), slices.Clone(test.extra)
				return messages(reply)
			}
			for _, tcp := range []bool{false, true} {
				server := (&dnsServer{special: map[string]handler{name: special}, tcpOnly: tcp}).start(t)
				dns := resolver.System{Server: server.addr}
				_, txtErr := dns.LookupTXT(t.Context(), name)
				_, ipErr := dns.LookupNetIP(t.Context(), "ip", name)
				for _, err := range []error{txtErr, ipErr} {
					dns, ok := errors.AsType[*net.DNSError](err)
					if !ok || dns.IsNotFound != test.notFound || dns.IsTemporary != test.temporary || dns.IsTimeout {
						t.Errorf("over TCP %v: got %#v", tcp, err)
					}
				}
			}
		})
	}
}

// A malformed or truncated answer is neither an answer nor an absence.
func TestSystemRejectsDamagedAnswers(t *testing.T) {
	const name = "_mta-sts.example.com."
	full := func(reply dnsmessage.Message) dnsmessage.Message {
		reply.Answers = []dnsmessage.Resource{record(name, &dnsmessage.TXTResource{TXT: []string{"v=STSv1; id=1;"}})}
		return reply
	}
	overTCP := func(answer func(reply dnsmessage.Message) [][]byte) handler {
		return func(reply dnsmessage.Message, network string) [][]byte {
			if network == "udp" {
				reply.Truncated = true
				return messages(reply)
			}
			return answer(reply)
		}
	}
	for what, special := range map[string]handler{
		"a record that ends early": func(reply dnsmessage.Message, _ string) [][]byte {
			packed := messages(full(reply))
			return [][]byte{packed[0][:len(packed[0])-5]}
		},
		"an authority section that is missing": func(reply dnsmessage.Message, _ string) [][]byte {
			packed := messages(reply)
			packed[0][9] = 1 // NSCOUNT
			return packed
		},
		"truncated over TCP too, without records": overTCP(func(reply dnsmessage.Message) [][]byte {
			reply.Truncated = true
			return messages(reply)
		}),
		"truncated over TCP too, with records": overTCP(func(reply dnsmessage.Message) [][]byte {
			reply.Truncated = true
			return messages(full(reply))
		}),
		"for another name over TCP": overTCP(func(reply dnsmessage.Message) [][]byte {
			reply = full(reply)
			reply.Questions[0].Name = dnsmessage.MustNewName("other.example.")
			return messages(reply)
		}),
		"an empty message over TCP": overTCP(func(dnsmessage.Message) [][]byte { return [][]byte{{}} }),
		"junk over TCP":             overTCP(func(dnsmessage.Message) [][]byte { return [][]byte{[]byte("junk")} }),
	} {
		t.Run(what, func(t *testing.T) {
			server := (&dnsServer{special: map[string]handler{name: special}}).start(t)
			got, err := resolver.System{Server: server.addr}.LookupTXT(t.Context(), name)
			dns, ok := errors.AsType[*net.DNSError](err)
			if got != nil || !ok || dns.IsNotFound || dns.IsTimeout {
				t.Errorf("got %q, %#v", got, err)
			}
		})
	}
}

// One family fails. The other has addresses, or none.
func TestSystemLookupNetIPWithOneFamilyFailing(t *testing.T) {
	const name = "mta-sts.example.com."
	for _, test := range []struct {
		what    string
		failing dnsmessage.Type
		code    dnsmessage.RCode
		absent  bool // the other family
	}{
		{what: "A servfail, AAAA good", failing: dnsmessage.TypeA, code: dnsmessage.RCodeServerFailure},
		{what: "AAAA servfail, A good", failing: dnsmessage.TypeAAAA, code: dnsmessage.RCodeServerFailure},
		{what: "A refused, AAAA good", failing: dnsmessage.TypeA, code: dnsmessage.RCodeRefused},
		{what: "A servfail, AAAA absent", failing: dnsmessage.TypeA, code: dnsmessage.RCodeServerFailure, absent: true},
		{what: "AAAA servfail, A absent", failing: dnsmessage.TypeAAAA, code: dnsmessage.RCodeServerFailure, absent: true},
		{what: "A refused, AAAA absent", failing: dnsmessage.TypeA, code: dnsmessage.RCodeRefused, absent: true},
		{what: "AAAA refused, A absent", failing: dnsmessage.TypeAAAA, code: dnsmessage.RCodeRefused, absent: true},
	} {
		t.Run(test.what, func(t *testing.T) {
			good := map[dnsmessage.Type]netip.Addr{dnsmessage.TypeA: four, dnsmessage.TypeAAAA: six}
			special := func(reply dnsmessage.Message, _ string) [][]byte {
				switch kind := reply.Questions[0].Type; {
				case kind == test.failing:
					reply.RCode = test.code
				case !test.absent:
					reply.Answers = []dnsmessage.Resource{record(name, address(good[kind]))}
				}
				return messages(reply)
			}
			server := (&dnsServer{special: map[string]handler{name: special}}).start(t)
			for range 10 { // the answers race
				got, err := resolver.System{Server: server.addr}.LookupNetIP(t.Context(), "ip", name)
				if test.absent {
					dns, ok := errors.AsType[*net.DNSError](err)
					if !ok || dns.IsNotFound || dns.IsTemporary != (test.code == dnsmessage.RCodeServerFailure) {
						t.Fatalf("got %v, %#v", got, err)
					}
				} else if err != nil || len(got) != 1 {
					t.Fatalf("got %v, %v", got, err)
				}
			}
		})
	}
}

func TestSystemLookupMXOmitsInvalidHosts(t *testing.T) {
	answer := func(hosts ...string) handler {
		return func(reply dnsmessage.Message, _ string) [][]byte {
			for i, host := range hosts {
				body := &dnsmessage.MXResource{Pref: uint16(i), MX: dnsmessage.MustNewName(host)}
				reply.Answers = append(reply.Answers, record(reply.Questions[0].Name.String(), body))
			}
			return messages(reply)
		}
	}
	server := (&dnsServer{special: map[string]handler{
		"some.example.": answer("bad host.example.", "mx.example.", "evil\r\n.example."),
		"all.example.":  answer("bad host.example.", "evil\r\n.example."),
		"ip.example.":   answer("192.0.2.1."),
	}}).start(t)
	dns := resolver.System{Server: server.addr}
	for name, want := range map[string][]*net.MX{
		"some.example.": {{Host: "mx.example.", Pref: 1}},
		"ip.example.":   {{Host: "192.0.2.1."}},
	} {
		if got, err := dns.LookupMX(t.Context(), name); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	got, err := dns.LookupMX(t.Context(), "all.example.")
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || dns.IsNotFound || dns.Server != server.addr || got != nil {
		t.Errorf("got %v, %#v", got, err)
	}
}

func TestSystemTimesOutAtLimit(t *testing.T) {
	server := (&dnsServer{zone: world()}).start(t)
	begin := time.Now()
	_, err := resolver.System{Server: server.addr}.WithLimit(100*time.Millisecond).LookupTXT(t.Context(), "timeout.example.")
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if want := "lookup timeout.example. on " + server.addr + ": i/o timeout"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %v", err, want)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Error("the error blames the context of the caller")
	}
}

// net notices a cancelled context only after its own time-out.
func TestSystemReturnsWhenCancelled(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			server := (&dnsServer{tcpOnly: network == "tcp", special: map[string]handler{
				"silent.example.": func(dnsmessage.Message, string) [][]byte { cancel(); return nil },
			}}).start(t)
			begin := time.Now()
			_, err := resolver.System{Server: server.addr}.LookupTXT(ctx, "silent.example.")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestSystemSendsNothingWithAnEndedContext(t *testing.T) {
	server := (&dnsServer{zone: world()}).start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, dns := range []lookuper{resolver.System{}, resolver.System{Server: server.addr}} {
		_, txtErr := dns.LookupTXT(ctx, "_mta-sts.example.com.")
		_, mxErr := dns.LookupMX(ctx, "mail.example.")
		_, ipErr := dns.LookupNetIP(ctx, "ip", "dual.example.")
		for _, err := range []error{txtErr, mxErr, ipErr} {
			if _, ok := errors.AsType[*net.DNSError](err); !ok || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
	}
	if asked := server.queries(); len(asked) > 0 {
		t.Errorf("asked %q", asked)
	}
}

func TestSystemWithAnUnreachableServer(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	closed.Close()
	_, err = resolver.System{Server: addr}.WithLimit(time.Second).LookupTXT(t.Context(), "_mta-sts.example.com.")
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || dns.IsNotFound || !dns.IsTemporary || dns.Server != addr {
		t.Errorf("got %#v", err)
	}
}

func TestSystemServer(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing is sent, and errors still name the server
	for server, want := range map[string]string{
		"127.0.0.1:53":     "127.0.0.1:53",
		"127.0.0.1:5353":   "127.0.0.1:5353",
		"127.0.0.1":        "127.0.0.1:53",
		"[::1]:5353":       "[::1]:5353",
		"::1":              "[::1]:53",
		"fe80::1%eth0":     "[fe80::1%eth0]:53",
		"localhost:53":     "",
		"dns.example":      "",
		"127.0.0.1:":       "",
		"127.0.0.1:0":      "",
		"127.0.0.1:99999":  "",
		":53":              "",
		"[::1]":            "",
		"127.0.0.1:53 ":    "",
		"\x00\r\n":         "",
		"udp://127.0.0.1/": "",
	} {
		dns := resolver.System{Server: server}
		_, txtErr := dns.LookupTXT(ctx, "_mta-sts.example.com.")
		_, mxErr := dns.LookupMX(ctx, "example.com.")
		_, ipErr := dns.LookupNetIP(ctx, "ip", "mta-sts.example.com.")
		for _, err := range []error{txtErr, mxErr, ipErr} {
			dns, ok := errors.AsType[*net.DNSError](err)
			switch {
			case !ok:
				t.Fatalf("%q: got %#v", server, err)
			case want != "" && dns.Server != want:
				t.Errorf("%q: got %v, want server %s", server, err, want)
			case want == "" && (!strings.Contains(err.Error(), "System.Server must be an IP address") || strings.ContainsAny(err.Error(), "\x00\r\n") || dns.IsNotFound):
				t.Errorf("%q: got %v", server, err)
			}
		}
	}
}
