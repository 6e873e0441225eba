package fetch

import (
	"errors"
	"fmt"
	"net/netip"
)

// A guard decides which addresses a policy host may have. A recipient domain
// chooses the name, and with it the address: without a guard, anyone could
// have a mail server send requests into its own network, and learn from what
// is delivered how they fared.
type guard struct {
	allowed []netip.Prefix // good in spite of what they are
}

// A network is a range of addresses where no public server can be.
type network struct {
	prefix netip.Prefix
	use    string
}

// notPublic follows the IANA registries of special-purpose addresses (RFC
// 6890), of which it takes every block that is not globally reachable, and
// those reserved for protocols whole. It is never written to.
var notPublic = [...]network{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network, RFC 791"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private use, RFC 1918"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT, RFC 6598"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback, RFC 1122"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, RFC 3927"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private use, RFC 1918"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments, RFC 6890"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation, RFC 5737"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relays, RFC 7526"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private use, RFC 1918"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarks, RFC 2544"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation, RFC 5737"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation, RFC 5737"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast, RFC 5771"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast, RFC 919"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved, RFC 1112"},

	{netip.MustParsePrefix("::/128"), "unspecified, RFC 4291"},
	{netip.MustParsePrefix("::1/128"), "loopback, RFC 4291"},
	{netip.MustParsePrefix("fc00::/7"), "unique local, RFC 4193"},
	{netip.MustParsePrefix("fe80::/10"), "link-local, RFC 4291"},
	{netip.MustParsePrefix("fec0::/10"), "site-local, RFC 3879"},
	{netip.MustParsePrefix("ff00::/8"), "multicast, RFC 4291"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation, RFC 3849"},
	{netip.MustParsePrefix("3fff::/20"), "documentation, RFC 9637"},

	// Forms of an IPv4 address that a host or router on the way unwraps, by
	// rules of its own: where they lead can not be told from here.
	{netip.MustParsePrefix("::/96"), "IPv4-compatible, RFC 4291"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4-translated, RFC 2765"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64, RFC 8215"},
	{netip.MustParsePrefix("2001::/32"), "Teredo, RFC 4380"},
	{netip.MustParsePrefix("2002::/16"), "6to4, RFC 3056"},

	{netip.MustParsePrefix("2001::/23"), "protocol assignments, RFC 2928"},
}

var (
	// globalUnicast holds all IPv6 addresses that IANA gives out for hosts.
	globalUnicast = netip.MustParsePrefix("2000::/3")

	// nat64 is for a network without IPv4, whose resolver puts each IPv4
	// address behind this prefix (RFC 6052, Section 2.1).
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// check returns an error that says what addr is unless a policy host may have
// it.
func (g guard) check(addr netip.Addr) error {
	if !addr.IsValid() {
		return errors.New("not an address")
	}
	if addr.Zone() != "" {
		return fmt.Errorf("%s is refused (link-local, RFC 4007)", quote(addr.String()))
	}
	addr = addr.Unmap() // ::ffff:192.0.2.1 is dialled as 192.0.2.1
	for _, prefix := range g.allowed {
		if prefix.Contains(addr) {
			return nil
		}
	}
	judged := addr
	if nat64.Contains(addr) {
		bytes := addr.As16()
		judged = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	for _, network := range notPublic {
		if network.prefix.Contains(judged) {
			return fmt.Errorf("%s is refused (%s)", addr, network.use)
		}
	}
	if judged.Is6() && !globalUnicast.Contains(judged) {
		return fmt.Errorf("%s is refused (not global unicast, RFC 4291)", addr)
	}
	return nil
}

// filter returns those of addrs that pass, unmapped. If none does, the error is
// about the first.
func (g guard) filter(addrs []netip.Addr) ([]netip.Addr, error) {
	var good []netip.Addr
	var first error
	for _, addr := range addrs {
		if err := g.check(addr); err == nil {
			good = append(good, addr.Unmap())
		} else if first == nil {
			first = err
		}
	}
	if len(good) > 0 || first == nil {
		return good, nil
	}
	return nil, fmt.Errorf("none of its %d addresses may be dialled: %w; "+
		"if policy hosts live in such a network, name it in AllowNets", len(addrs), first)
}
