package fetch

import (
	"fmt"
	"net/netip"
)

// A guard decides which addresses a policy host may have. The owner of a recipient
// domain chooses them. Without a guard, anyone could make a mail server send requests
// into its own network, and learn from the delivery of mail how they ended.
//
// Its elements are networks where any address is accepted.
type guard []netip.Prefix

// notPublic are the ranges where no public server can be. They follow the IANA
// registries of special-purpose addresses (RFC 6890): every block that is not globally
// reachable, and those reserved for protocols as a whole. It is never written to.
var notPublic = [...]struct {
	prefix netip.Prefix
	use    string
}{
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
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved or broadcast, RFC 1112"},

	// Within globalUnicast. Routers unwrap Teredo and 6to4 by rules of their own, so
	// it cannot be known here where these addresses lead.
	{netip.MustParsePrefix("2001::/23"), "protocol assignments or Teredo, RFC 2928"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation, RFC 3849"},
	{netip.MustParsePrefix("2002::/16"), "6to4, RFC 3056"},
	{netip.MustParsePrefix("3fff::/20"), "documentation, RFC 9637"},
}

var (
	// globalUnicast holds all IPv6 addresses that IANA assigns to hosts. Loopback,
	// private, link-local and multicast addresses are outside.
	globalUnicast = netip.MustParsePrefix("2000::/3")

	// nat64 is for a network without IPv4. Its resolver puts each IPv4 address
	// behind this prefix (RFC 6052, Section 2.1).
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// check returns an error unless a policy host may have addr.
func (g guard) check(addr netip.Addr) error {
	addr = addr.Unmap() // ::ffff:192.0.2.1 is dialled as 192.0.2.1
	for _, prefix := range g {
		if prefix.Contains(addr) {
			return nil
		}
	}
	public := addr // what must be public
	if nat64.Contains(addr) {
		bytes := addr.As16()
		public = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	for _, network := range notPublic {
		if network.prefix.Contains(public) {
			return fmt.Errorf("%s is refused (%s)", addr, network.use)
		}
	}
	if !public.Is4() && !globalUnicast.Contains(public) { // no prefix contains an address with a zone
		return fmt.Errorf("%s is refused (not global unicast, RFC 4291)", addr)
	}
	return nil
}

// filter returns those of addrs that a policy host may have, unmapped. If there are
// none, the error describes the first of addrs.
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
	if len(good) == 0 {
		return nil, fmt.Errorf("none of its %d addresses may be dialled: %w; "+
			"if policy hosts are in such a network, add it to AllowNets", len(addrs), first)
	}
	return good, nil
}
