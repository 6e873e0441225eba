package resolver_test

import (
	"context"
	"errors"
	"net"
	"reflect"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mtasts/go-mtasts/resolver"
)

const typeTLSA dnsmessage.Type = 52

type rawLookuper interface {
	LookupAliases(ctx context.Context, name string) ([]string, error)
	LookupTLSA(ctx context.Context, name string) ([]resolver.TLSA, bool, error)
	LookupAuthenticated(ctx context.Context, recordType, name string) (bool, error)
}

func TestRawLookups(t *testing.T) {
	record := resolver.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: []byte("digest")}
	zone := world()
	zone["_25._tcp.mx1.example."] = resolver.Records{TLSA: []resolver.TLSA{record}, Authenticated: true}
	zone["_25._tcp.mx2.example."] = resolver.Records{TLSA: []resolver.TLSA{record}}
	zone["_25._tcp.mx3.example."] = resolver.Records{CNAME: "_25._tcp.mx1.example."}
	zone["signed.example."] = resolver.Records{CNAME: "alias2.example.", Authenticated: true}
	zone["_25._tcp.mx4.example."] = resolver.Records{Authenticated: true}

	udp := (&dnsServer{zone: zone}).start(t)
	tcp := (&dnsServer{zone: zone, tcpOnly: true}).start(t)
	for who, dns := range map[string]rawLookuper{
		"System over UDP": resolver.System{Server: udp.addr},
		"System over TCP": resolver.System{Server: tcp.addr},
		"Fake":            &resolver.Fake{Names: zone},
	} {
		t.Run(who, func(t *testing.T) {
			for name, want := range map[string][]string{
				"Alias.Example":         {"alias2.example", "_mta-sts.example.com"},
				"dangling.example.":     {"nowhere.example"},
				"_mta-sts.example.com.": nil,
				"nowhere.example":       nil,
			} {
				got, err := dns.LookupAliases(t.Context(), name)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("aliases of %s: %q, %v; want %q", name, got, err, want)
				}
			}
			for name, want := range map[string]struct {
				records       []resolver.TLSA
				authenticated bool
			}{
				"_25._tcp.mx1.example": {[]resolver.TLSA{record}, true},
				"_25._tcp.mx2.example": {[]resolver.TLSA{record}, false},
				"_25._tcp.mx3.example": {[]resolver.TLSA{record}, true},
				"_25._tcp.mx4.example": {nil, true},
				"_25._tcp.mx5.example": {nil, false},
			} {
				got, authenticated, err := dns.LookupTLSA(t.Context(), name)
				if err != nil || !reflect.DeepEqual(got, want.records) || authenticated != want.authenticated {
					t.Errorf("TLSA of %s: %v, %v, %v; want %v", name, got, authenticated, err, want)
				}
				for _, kind := range []string{"A", "MX"} {
					if got, err := dns.LookupAuthenticated(t.Context(), kind, name); err != nil || got != want.authenticated {
						t.Errorf("%s of %s authenticated: %v, %v", kind, name, got, err)
					}
				}
			}
			for name, want := range map[string]bool{"signed.example": true, "alias.example": false, "_mta-sts.example.com": false, "nowhere.example": false} {
				if got, err := dns.LookupAuthenticated(t.Context(), "CNAME", name); err != nil || got != want {
					t.Errorf("CNAME of %s authenticated: %v, %v", name, got, err)
				}
			}
			if got, err := dns.LookupAuthenticated(t.Context(), "A", "signed.example"); err != nil || got {
				t.Errorf("an alias of a name in an unsigned zone: %v, %v", got, err)
			}
			for _, name := range []string{"servfail.example", "aliasfail.example", "refused.example", "loop.example"} {
				_, err := dns.LookupAliases(t.Context(), name)
				_, _, err2 := dns.LookupTLSA(t.Context(), name)
				for _, err := range []error{err, err2} {
					if dns, ok := errors.AsType[*net.DNSError](err); !ok || dns.IsNotFound {
						t.Errorf("%s: %v; want an error that does not say that there is none", name, err)
					}
				}
			}
		})
	}
}

// A reply of any form must do no harm.
func TestRawLookupOfHostileReplies(t *testing.T) {
	for what, body := range map[string]dnsmessage.Resource{
		"a short record": {Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("x.example."), Class: dnsmessage.ClassINET},
			Body: &dnsmessage.UnknownResource{Type: typeTLSA, Data: []byte{3, 1}}},
		"a loop of aliases": record("x.example.", &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("x.example.")}),
	} {
		t.Run(what, func(t *testing.T) {
			server := (&dnsServer{special: map[string]handler{"x.example.": func(reply dnsmessage.Message, _ string) [][]byte {
				reply.Authoritative = true
				reply.Answers = []dnsmessage.Resource{body}
				return messages(reply)
			}}}).start(t)
			dns := resolver.System{Server: server.addr}
			if got, _, _ := dns.LookupTLSA(t.Context(), "x.example"); len(got) > 0 {
				t.Errorf("%v", got)
			}
			if got, _ := dns.LookupAliases(t.Context(), "x.example"); len(got) > 20 {
				t.Errorf("%d aliases", len(got))
			}
		})
	}
}
