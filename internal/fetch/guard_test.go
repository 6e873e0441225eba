package fetch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	for _, test := range []struct{ addr, use string }{ // use "": accepted
		{"9.9.9.9", ""}, {"1.0.0.1", ""}, {"100.63.255.255", ""}, {"100.128.0.0", ""}, {"172.15.0.1", ""},
		{"172.32.0.1", ""}, {"192.0.1.0", ""}, {"198.17.255.255", ""}, {"198.20.0.0", ""}, {"223.255.255.255", ""},
		{"2620:fe::fe", ""}, {"2001:200::1", ""}, {"2a00:1450::1", ""}, {"3ffe::1", ""},

		{"0.0.0.0", "this network"}, {"0.1.2.3", "this network"},
		{"10.0.0.1", "private"}, {"172.16.0.1", "private"}, {"172.31.255.255", "private"}, {"192.168.1.1", "private"},
		{"100.64.0.1", "carrier-grade NAT"}, {"100.127.255.255", "carrier-grade NAT"},
		{"127.0.0.1", "loopback"}, {"127.255.255.254", "loopback"},
		{"169.254.169.254", "link-local"},
		{"192.0.0.1", "protocol assignments"}, {"192.0.0.170", "protocol assignments"},
		{"192.0.2.1", "documentation"}, {"198.51.100.1", "documentation"}, {"203.0.113.1", "documentation"},
		{"192.88.99.1", "6to4"}, {"198.18.0.1", "benchmarks"}, {"198.19.255.255", "benchmarks"},
		{"224.0.0.1", "multicast"}, {"239.255.255.255", "multicast"},
		{"240.0.0.1", "reserved"}, {"255.255.255.254", "reserved"}, {"255.255.255.255", "reserved"},

		{"::", "not global unicast"}, {"::1", "not global unicast"},
		{"fc00::1", "not global unicast"}, {"fdff::1", "not global unicast"},
		{"fe80::1", "not global unicast"}, {"fe80::1%eth0", "not global unicast"}, {"2620:fe::fe%eth0", "not global unicast"},
		{"fec0::1", "not global unicast"}, {"ff02::1", "not global unicast"},
		{"2001:db8::1", "documentation"}, {"3fff::1", "documentation"},
		{"2001:2::1", "protocol assignments"}, {"2001:20::1", "protocol assignments"},
		{"100::1", "not global unicast"}, {"5f00::1", "not global unicast"}, {"4000::1", "not global unicast"},

		// IPv4 in IPv6, with a refused address and with an accepted one.
		{"::ffff:127.0.0.1", "loopback"}, {"::ffff:10.0.0.1", "private"}, {"::ffff:9.9.9.9", ""},
		{"64:ff9b::127.0.0.1", "loopback"}, {"64:ff9b::169.254.169.254", "link-local"}, {"64:ff9b::9.9.9.9", ""},
		{"64:ff9b:1::10.0.0.1", "not global unicast"}, {"64:ff9b:1::9.9.9.9", "not global unicast"},
		{"64:ff9b:0:1::9.9.9.9", "not global unicast"},
		{"::127.0.0.1", "not global unicast"}, {"::9.9.9.9", "not global unicast"},
		{"::ffff:0:127.0.0.1", "not global unicast"}, {"::ffff:0:9.9.9.9", "not global unicast"},
		{"2002:7f00:1::1", "6to4"}, {"2002:909:909::1", "6to4"},
		{"2001:0:909:909::1", "protocol assignments"}, {"2001::f6f6:f6f6", "protocol assignments"},
	} {
		err := guard{}.check(netip.MustParseAddr(test.addr))
		switch {
		case test.use == "" && err != nil:
			t.Errorf("%s: %v", test.addr, err)
		case test.use != "" && err == nil:
			t.Errorf("%s passes, though it is %s", test.addr, test.use)
		case test.use != "" && !strings.Contains(err.Error(), "refused ("+test.use):
			t.Errorf("%s: %v, want it refused for %q", test.addr, err, test.use)
		}
	}
	if err := (guard{}).check(netip.Addr{}); err == nil {
		t.Error("no address at all passes")
	}
}

func TestAllowNets(t *testing.T) {
	g := guard{
		netip.MustParsePrefix("10.1.0.0/16"),
		netip.MustParsePrefix("127.0.0.1/32"),
		netip.MustParsePrefix("fd00:1::/32"),
		netip.MustParsePrefix("64:ff9b:1::/48"),
	}
	for addr, good := range map[string]bool{
		"10.1.255.255":         true,
		"10.2.0.0":             false,
		"::ffff:10.1.0.1":      true,  // dialled as 10.1.0.1
		"64:ff9b::10.1.0.1":    false, // goes through a translator
		"127.0.0.1":            true,
		"127.0.0.2":            false,
		"::1":                  false,
		"fd00:1::1":            true,
		"fd00:1::1%eth0":       false,
		"fd00:2::1":            false,
		"64:ff9b:1::192.0.2.1": true,
		"9.9.9.9":              true,
	} {
		if err := g.check(netip.MustParseAddr(addr)); (err == nil) != good {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// resolved does a Get of a name with addrs, by a client that cannot connect. It returns
// the addresses that the client tried.
func resolved(t *testing.T, addrs ...string) (dialled []string, body string, err error) {
	t.Helper()
	var found []netip.Addr
	for _, addr := range addrs {
		found = append(found, netip.MustParseAddr(addr))
	}
	client := New(Config{LookupNetIP: resolveTo(found...)})
	client.dialer.connect = func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return nil, errors.New("unplugged")
	}
	body, err = client.Get(t.Context(), host)
	return dialled, body, err
}

func TestARefusedAddressIsNotDialled(t *testing.T) {
	for _, addr := range []string{
		"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
		"64:ff9b:1::9.9.9.9", "::127.0.0.1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe",
	} {
		dialled, body, err := resolved(t, addr)
		wantError(t, body, err, KindTransport, "AllowNets")
		if len(dialled) > 0 {
			t.Errorf("dialled %q", dialled)
		}
	}
	_, body, err := resolved(t, "::ffff:10.0.0.1", "127.0.0.1")
	wantError(t, body, err, KindTransport, "none of its 2 addresses may be dialled: 10.0.0.1 is refused (private use, RFC 1918)")
}

func TestAnAcceptedAddressAmongRefusedOnesIsDialled(t *testing.T) {
	dialled, body, err := resolved(t, "10.0.0.1", "::ffff:9.9.9.9", "::1", "64:ff9b::8.8.8.8")
	wantError(t, body, err, KindTransport, "unplugged")
	if got := strings.Join(dialled, " "); got != "9.9.9.9:443 [64:ff9b::808:808]:443" {
		t.Errorf("dialled %s", got)
	}
}

// A name may change its addresses between two look-ups.
func TestAChangeToARefusedAddressHasNoEffect(t *testing.T) {
	server := serve(t, nil, publish)
	client := newClient(addrOf(server))
	lookups := 0
	client.dialer.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		if lookups++; lookups == 1 {
			return []netip.Addr{public}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	var dialled []string
	connect := client.dialer.connect
	client.dialer.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return connect(ctx, network, address)
	}

	body, err := client.Get(t.Context(), host)
	wantPolicy(t, body, err)
	if lookups != 1 || len(dialled) != 1 || dialled[0] != "9.9.9.9:443" {
		t.Errorf("%d look-ups, dialled %q; want the address that was checked", lookups, dialled)
	}
	body, err = client.Get(t.Context(), host)
	wantError(t, body, err, KindTransport, "127.0.0.1 is refused (loopback")
	if len(dialled) != 1 {
		t.Errorf("dialled %q", dialled)
	}
}

// An address that reaches the socket without a check is checked there.
func TestTheSocketIsGuardedToo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, allowed := range []bool{false, true} {
		var nets []netip.Prefix
		if allowed {
			nets = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		conn, err := newDialer(Config{AllowNets: nets}).connect(t.Context(), "tcp", listener.Addr().String())
		if err == nil {
			conn.Close()
		}
		if (err == nil) != allowed {
			t.Errorf("allowed %t: %v", allowed, err)
		}
	}
}
