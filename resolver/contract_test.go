package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/resolver"
)

type lookuper interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A Client accepts both.
var (
	_ lookuper = resolver.System{}
	_ lookuper = (*resolver.Fake)(nil)
)

var (
	four  = netip.MustParseAddr("192.0.2.1")
	four2 = netip.MustParseAddr("192.0.2.2")
	six   = netip.MustParseAddr("2001:db8::1")
)

// world is the content of the DNS.
func world() map[string]resolver.Records {
	zone := map[string]resolver.Records{
		"_mta-sts.example.com.": {TXT: []string{"v=STSv1; id=20160831085700Z;"}},
		"several.example.":      {TXT: []string{"one", "v=STSv1; id=2;", ""}},
		"long.example.":         {TXT: []string{strings.Repeat("0123456789", 60)}},
		"alias.example.":        {CNAME: "Alias2.Example"},
		"alias2.example.":       {CNAME: "_mta-sts.example.com."},
		"dangling.example.":     {CNAME: "nowhere.example."},
		"unlike.example.":       {CNAME: "dual.example."},
		"loop.example.":         {CNAME: "pool.example."},
		"pool.example.":         {CNAME: "loop.example."},
		"aliasfail.example.":    {CNAME: "servfail.example."},
		"servfail.example.":     {Fail: resolver.ServFail},
		"refused.example.":      {Fail: resolver.Refused},
		"timeout.example.":      {Fail: resolver.Timeout},
		"silent.example.":       {Delay: time.Hour},
		"mail.example.":         {MX: []net.MX{{Host: "Mx2.example", Pref: 20}, {Host: "mx1.example.", Pref: 10}}},
		"nomail.example.":       {MX: []net.MX{{Host: ".", Pref: 0}}},
		"dual.example.":         {Addr: []netip.Addr{four, six, four2}},
		"four.example.":         {Addr: []netip.Addr{four}},
		"chain10.example.":      {TXT: []string{"end"}},
		"chain11.example.":      {CNAME: "long0.example."},
	}
	for i := range 10 {
		zone[fmt.Sprintf("chain%d.example.", i)] = resolver.Records{CNAME: fmt.Sprintf("chain%d.example.", i+1)}
		zone[fmt.Sprintf("long%d.example.", i)] = resolver.Records{CNAME: fmt.Sprintf("long%d.example.", i+1)}
	}
	zone["long10.example."] = resolver.Records{TXT: []string{"too far"}}
	return zone
}

func TestContract(t *testing.T) {
	t.Run("System over UDP", func(t *testing.T) {
		server := (&dnsServer{zone: world()}).start(t)
		testContract(t, resolver.System{Server: server.addr}, server.addr)
	})
	t.Run("System over TCP", func(t *testing.T) {
		server := (&dnsServer{zone: world(), tcpOnly: true}).start(t)
		testContract(t, resolver.System{Server: server.addr}, server.addr)
	})
	t.Run("Fake", func(t *testing.T) {
		testContract(t, &resolver.Fake{Names: world()}, "")
	})
}

// An asker makes one look-up.
type asker func(dns lookuper, ctx context.Context, name string) (any, error)

func txt(dns lookuper, ctx context.Context, name string) (any, error) {
	return dns.LookupTXT(ctx, name)
}

func mx(dns lookuper, ctx context.Context, name string) (any, error) {
	list, err := dns.LookupMX(ctx, name)
	var values []net.MX
	for _, record := range list {
		values = append(values, *record)
	}
	return values, err
}

func ip(network string) asker {
	return func(dns lookuper, ctx context.Context, name string) (any, error) {
		return dns.LookupNetIP(ctx, network, name)
	}
}

// cancelled makes a look-up whose context is cancelled while it waits.
func cancelled(ask asker) asker {
	return func(dns lookuper, ctx context.Context, name string) (any, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		time.AfterFunc(30*time.Millisecond, cancel)
		return ask(dns, ctx, name)
	}
}

// hurried makes a look-up with a short deadline.
func hurried(ask asker) asker {
	return func(dns lookuper, ctx context.Context, name string) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
		defer cancel()
		return ask(dns, ctx, name)
	}
}

// limited makes a look-up with a short Limit. A Fake needs none.
func limited(ask asker) asker {
	return func(dns lookuper, ctx context.Context, name string) (any, error) {
		if system, ok := dns.(resolver.System); ok {
			dns = system.WithLimit(100 * time.Millisecond)
		}
		return ask(dns, ctx, name)
	}
}

// testContract makes look-ups of world in dns. Errors must name the server.
func testContract(t *testing.T, dns lookuper, server string) {
	policy := []string{"v=STSv1; id=20160831085700Z;"}

	for _, test := range []struct {
		what string
		ask  asker
		name string
		want any
		err  net.DNSError // Name and Server are filled in
	}{
		{what: "a record", ask: txt, name: "_mta-sts.example.com.", want: policy},
		{what: "no final dot", ask: txt, name: "_mta-sts.example.com", want: policy},
		{what: "upper case", ask: txt, name: "_MTA-STS.Example.COM.", want: policy},
		{what: "several records", ask: txt, name: "several.example.", want: []string{"one", "v=STSv1; id=2;", ""}},
		{what: "several strings", ask: txt, name: "long.example.", want: []string{strings.Repeat("0123456789", 60)}},
		{what: "two aliases", ask: txt, name: "alias.example.", want: policy},
		{what: "ten aliases", ask: txt, name: "chain0.example.", want: []string{"end"}},
		{what: "mx by preference", ask: mx, name: "mail.example.", want: []net.MX{{Host: "mx1.example.", Pref: 10}, {Host: "Mx2.example.", Pref: 20}}},
		{what: "null mx", ask: mx, name: "nomail.example.", want: []net.MX{{Host: ".", Pref: 0}}},
		{what: "both families", ask: ip("ip"), name: "dual.example", want: []netip.Addr{six, four, four2}},
		{what: "ip4 of both", ask: ip("ip4"), name: "dual.example", want: []netip.Addr{four, four2}},
		{what: "ip6 of both", ask: ip("ip6"), name: "dual.example", want: []netip.Addr{six}},
		{what: "one family", ask: ip("ip"), name: "four.example", want: []netip.Addr{four}},
		{what: "address of an alias", ask: ip("ip"), name: "unlike.example", want: []netip.Addr{six, four, four2}},

		{what: "txt nxdomain", ask: txt, name: "nowhere.example.", err: net.DNSError{Err: "no such host", IsNotFound: true}},
		{what: "mx nxdomain", ask: mx, name: "nowhere.example", err: net.DNSError{Err: "no such host", IsNotFound: true}},
		{what: "ip nxdomain", ask: ip("ip"), name: "nowhere.example.", err: net.DNSError{Err: "no such host", IsNotFound: true}},
		{what: "txt nodata", ask: txt, name: "dual.example.", err: net.DNSError{Err: "no such host", IsNotFound: true}},
		{what: "mx nodata", ask: mx, name: "dual.example.", err: net.DNSError{Err: "no such host", IsNotFound: true}},
		{what: "ip nodata", ask: ip("ip"), name: "several.example.", err: net.DNSError{Err: "no such host", IsNotFound: true}},
		{what: "ip6 nodata", ask: ip("ip6"), name: "four.example.", err: net.DNSError{Err: "no such host", IsNotFound: true}},
		{what: "dangling alias", ask: txt, name: "dangling.example.", err: net.DNSError{Err: "no such host", IsNotFound: true}},
		{what: "alias of no data", ask: txt, name: "unlike.example.", err: net.DNSError{Err: "no such host", IsNotFound: true}},
		{what: "onion", ask: txt, name: "_mta-sts.example.Onion", err: net.DNSError{Err: "no such host", IsNotFound: true}},

		{what: "txt servfail", ask: txt, name: "servfail.example.", err: net.DNSError{Err: "server misbehaving", IsTemporary: true}},
		{what: "mx servfail", ask: mx, name: "servfail.example.", err: net.DNSError{Err: "server misbehaving", IsTemporary: true}},
		{what: "ip servfail", ask: ip("ip"), name: "servfail.example.", err: net.DNSError{Err: "server misbehaving", IsTemporary: true}},
		{what: "alias of servfail", ask: txt, name: "aliasfail.example.", err: net.DNSError{Err: "server misbehaving", IsTemporary: true}},
		{what: "loop", ask: txt, name: "loop.example.", err: net.DNSError{Err: "server misbehaving", IsTemporary: true}},
		{what: "eleven aliases", ask: txt, name: "chain11.example.", err: net.DNSError{Err: "server misbehaving", IsTemporary: true}},
		{what: "txt refused", ask: txt, name: "refused.example.", err: net.DNSError{Err: "server misbehaving"}},
		{what: "mx refused", ask: mx, name: "refused.example.", err: net.DNSError{Err: "server misbehaving"}},
		{what: "ip refused", ask: ip("ip"), name: "refused.example.", err: net.DNSError{Err: "server misbehaving"}},
		{what: "txt timeout", ask: limited(txt), name: "timeout.example.", err: net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}},
		{what: "mx timeout", ask: limited(mx), name: "timeout.example", err: net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}},
		{what: "ip timeout", ask: limited(ip("ip")), name: "timeout.example.", err: net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}},

		{what: "txt cancelled", ask: cancelled(txt), name: "silent.example.", err: net.DNSError{Err: "operation was canceled", IsTemporary: true, UnwrapErr: context.Canceled}},
		{what: "ip cancelled", ask: cancelled(ip("ip")), name: "silent.example.", err: net.DNSError{Err: "operation was canceled", IsTemporary: true, UnwrapErr: context.Canceled}},
		{what: "txt past the deadline", ask: hurried(txt), name: "silent.example.", err: net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true, UnwrapErr: context.DeadlineExceeded}},
		{what: "ip past the deadline", ask: hurried(ip("ip")), name: "silent.example.", err: net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true, UnwrapErr: context.DeadlineExceeded}},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			got, err := test.ask(dns, t.Context(), test.name)
			if test.want != nil {
				if err != nil || !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %v, %v; want %v", got, err, test.want)
				}
				return
			}
			failed, ok := errors.AsType[*net.DNSError](err)
			if !ok {
				t.Fatalf("got %v, error %v; want a *net.DNSError", got, err)
			}
			want := test.err
			want.Name, want.Server = test.name, server
			if strings.HasSuffix(test.name, "Onion") {
				want.Server = "" // not asked
			}
			if *failed != want {
				t.Errorf("got  %#v\nwant %#v", *failed, want)
			}
		})
	}

	for _, name := range []string{"", ".", "a b.example", "-a.example", "a-.example", "a..example", "192.0.2.1", "::1", "1.2", "é.example",
		"evil\r\n.example", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "a", strings.Repeat("a", 1<<20)} {
		t.Run(fmt.Sprintf("not a name %.20q", name), func(t *testing.T) {
			for _, ask := range []asker{txt, mx, ip("ip"), ip("ip4")} {
				_, err := ask(dns, t.Context(), name)
				failed, ok := errors.AsType[*net.DNSError](err)
				if !ok || failed.Err != "not a domain name" || failed.IsNotFound || failed.IsTemporary || failed.IsTimeout {
					t.Errorf("got error %#v", err)
				} else if s := err.Error(); len(s) > 2000 || strings.ContainsAny(s, "\r\né") {
					t.Errorf("the error holds untrusted text: %.100q", s)
				}
			}
		})
	}

	t.Run("unknown network", func(t *testing.T) {
		_, err := dns.LookupNetIP(t.Context(), "tcp", "dual.example.")
		if !errors.Is(err, net.UnknownNetworkError("tcp")) {
			t.Errorf("got %v", err)
		}
	})
}
