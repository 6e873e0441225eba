package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Limit is the longest time that a look-up takes, whatever the configuration of the
// machine's resolver says. It allows for two attempts of five seconds, as is usual in a
// resolv.conf.
const Limit = 10 * time.Second

// System looks names up in the DNS with Go's own resolver. The zero value uses the
// servers in the machine's configuration (resolv.conf). All methods may be called
// concurrently.
//
// Each look-up ends within [Limit], or earlier with its context. An answer with more
// than 200 records is treated as a server failure. The package comment explains the
// errors.
type System struct {
	// Server is the DNS server to ask, an IP address with an optional port:
	// "127.0.0.1:53", "[::1]:5353", or "127.0.0.1" and "::1" for port 53. All
	// look-ups go there, over UDP, or over TCP if an answer is truncated. It must
	// be a recursive resolver: a referral to other servers is not followed. Empty
	// stands for the machine's servers. With any other value each look-up fails,
	// with an error that says so.
	Server string

	limit time.Duration // replaces Limit in tests
}

// LookupTXT returns the TXT records of name, each as one string. It joins the
// character-strings of a record without spaces (RFC 8461, Section 3.1). A record may
// hold any bytes, up to 64 KiB.
func (s System) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return lookup(ctx, s, name, (*net.Resolver).LookupTXT)
}

// LookupMX returns the MX records of name, the most preferred first. Records of equal
// preference are in random order (RFC 5321, Section 5.1). Hosts have a final dot. A
// record with Host "." is a null MX: the domain accepts no mail (RFC 7505).
//
// LookupMX omits records whose host is not a name, for no mail can be delivered there.
// If no other record is left, it returns an error without IsNotFound. It does not omit a
// host that is spelt like an IP address.
func (s System) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return lookup(ctx, s, name, func(r *net.Resolver, ctx context.Context, fqdn string) ([]*net.MX, error) {
		records, err := r.LookupMX(ctx, fqdn)
		if len(records) > 0 {
			// If some hosts are invalid, net returns both an error and the valid
			// records. A caller that checks the error first would miss them.
			return records, nil
		}
		return nil, err
	})
}

// LookupNetIP returns the addresses of host. network is "ip" for both families, IPv6
// first, or "ip4" or "ip6" for one. For any other network the error is a
// [net.UnknownNetworkError]. IPv4 addresses are 4 bytes long, never mapped into IPv6. As
// everywhere in Go, the machine's hosts file takes precedence over the DNS, even if
// Server is set. An address literal is not a name.
//
// If the look-up of one family fails, the addresses of the other are returned without an
// error: a policy host proves its identity by its certificate, by whatever address it is
// reached. If there are none, IsNotFound is true only if neither family exists.
func (s System) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	ip4, ip6, err := families(network)
	if err != nil {
		return nil, err
	}
	if ip4 != ip6 {
		return s.lookupFamily(ctx, network, host)
	}

	// net can ask for both families at once. But then IsNotFound depends on which
	// answer comes first, if one is REFUSED and the other empty. Its StrictErrors
	// settles that for SERVFAIL, but discards the good addresses.
	type result struct {
		addrs []netip.Addr
		err   error
	}
	other := make(chan result, 1)
	go func() {
		addrs, err := s.lookupFamily(ctx, "ip4", host)
		other <- result{addrs, err}
	}()
	addrs, err := s.lookupFamily(ctx, "ip6", host)
	four := <-other
	if addrs = append(addrs, four.addrs...); len(addrs) > 0 {
		return addrs, nil
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return nil, four.err
	}
	return nil, err
}

// lookupFamily looks up the addresses of one family, "ip4" or "ip6".
func (s System) lookupFamily(ctx context.Context, network, host string) ([]netip.Addr, error) {
	addrs, err := lookup(ctx, s, host, func(r *net.Resolver, ctx context.Context, fqdn string) ([]netip.Addr, error) {
		return r.LookupNetIP(ctx, network, fqdn)
	})
	for i, addr := range addrs {
		addrs[i] = addr.Unmap() // net maps those of the hosts file
	}
	return addrs, err
}

// lookup calls ask with what all look-ups have in common: the absolute name, the server
// and the time limit. It puts the error into the form of this package.
func lookup[T any](ctx context.Context, s System, name string, ask func(*net.Resolver, context.Context, string) (T, error)) (T, error) {
	var none T
	fqdn, err := absolute(name)
	if err != nil {
		return none, err
	}
	server, err := serverAddr(s.Server)
	if err != nil {
		return none, &net.DNSError{Err: err.Error(), Name: name, Server: strconv.QuoteToASCII(s.Server)}
	}
	if err := ended(ctx, name); err != nil {
		err.Server = server
		return none, err
	}

	limit := s.limit
	if limit == 0 {
		limit = Limit
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := ask(netResolver(limited, server), limited, fqdn)
	if err == nil {
		return answer, nil
	}

	failed := failure(ctx, limited, err, name)
	if server != "" {
		failed.Server = server // net names the one in its configuration
	}
	return none, failed
}

// failure turns an error of net into an error of this package.
func failure(ctx, limited context.Context, err error, name string) *net.DNSError {
	// When a context ends, net reports an error of the socket.
	if ended := ended(ctx, name); ended != nil {
		return ended
	}
	if endOf(limited) != nil {
		return timedOut(name)
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return notFound(name) // the hosts file has addresses of the other family
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	if !ok {
		return &net.DNSError{Err: err.Error(), Name: name}
	}
	if dns.IsTimeout {
		failed := timedOut(name) // net's text has a port number that changes
		failed.Server = dns.Server
		return failed
	}
	failed := *dns // net may share it among callers
	failed.Name = name
	return &failed
}

// serverAddr returns the address and port to dial for System.Server, "" for "".
func serverAddr(server string) (string, error) {
	if server == "" {
		return "", nil
	}
	if ap, err := netip.ParseAddrPort(server); err == nil && ap.Port() != 0 {
		return ap.String(), nil
	}
	if addr, err := netip.ParseAddr(server); err == nil {
		return netip.AddrPortFrom(addr, 53).String(), nil
	}
	return "", errors.New(`System.Server must be an IP address with an optional port, such as "127.0.0.1:53" or "[::1]:53"`)
}
