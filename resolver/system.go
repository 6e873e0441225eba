package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Limit is how long a look-up takes at most, whatever the machine's resolver
// configuration says: the answer is there by then, or a time-out error. It gives
// a lost query the two tries of five seconds that are usual in a resolv.conf.
const Limit = 10 * time.Second

// System looks names up in the DNS, with Go's own resolver. Its zero value uses
// the servers of the machine's configuration (resolv.conf). All methods may be
// called concurrently.
//
// Each look-up ends within [Limit], or earlier with its context. An answer with
// more than 200 records counts as a server failure. The package comment tells
// what the errors mean.
type System struct {
	// Server is the DNS server to ask, an IP address with an optional port:
	// "127.0.0.1:53", "[::1]:5353", or "127.0.0.1" and "::1" for port 53. All
	// look-ups go there, over UDP, and over TCP if an answer does not fit. It
	// must be a resolver: one that only knows zones of its own refers us to
	// other servers, and those are not asked. Empty means the machine's servers.
	// Anything else makes each look-up fail with an error that says so.
	Server string

	limit time.Duration // in place of Limit, for tests
}

// LookupTXT returns the TXT records of name, each as one string: the
// character-strings of a record are joined without spaces (RFC 8461, Section
// 3.1). A record is up to 64 KiB of any bytes.
func (s System) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return lookup(ctx, s, name, (*net.Resolver).LookupTXT)
}

// LookupMX returns the MX records of name, the most preferred first and those of
// equal preference in random order (RFC 5321, Section 5.1). Hosts have a final
// dot. A null MX, by which a domain says that it takes no mail (RFC 7505), is a
// record with Host ".".
//
// Records whose host is not a name are left out, for no mail can be delivered
// there; if no other is left, that is an error, without IsNotFound. A host that
// is spelt like an IP address is passed on.
func (s System) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return lookup(ctx, s, name, func(r *net.Resolver, ctx context.Context, fqdn string) ([]*net.MX, error) {
		records, err := r.LookupMX(ctx, fqdn)
		if len(records) > 0 {
			// net returns an error beside the good records. A caller who looks at
			// the error first, as callers do, would never reach the good hosts.
			return records, nil
		}
		return nil, err
	})
}

// LookupNetIP returns the addresses of host. network is "ip" for both families,
// IPv6 first; "ip4" or "ip6" for one; any other is a [net.UnknownNetworkError].
// IPv4 addresses are 4 bytes long, never mapped into IPv6. As everywhere in Go, an
// entry in the machine's hosts file comes before the DNS, even if Server is set.
// An address literal is not a name.
//
// If the addresses of one family are found and the others cannot be, because
// their look-up fails, the ones found are the result: a policy host proves who
// it is by its certificate, whichever way it was reached. If none are found,
// IsNotFound is true only if neither family exists.
func (s System) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	ip4, ip6, err := families(network)
	if err != nil {
		return nil, err
	}
	if ip4 != ip6 {
		return s.lookupFamily(ctx, network, host)
	}

	// net would ask for both families at once, but then a REFUSED beside an empty
	// answer is not found or not, depending on which comes first; and its
	// StrictErrors, which settles that for SERVFAIL, gives up the good addresses.
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
		addrs[i] = addr.Unmap() // from the hosts file, net gives mapped ones
	}
	return addrs, err
}

// lookup asks one question and sees to what all of them have in common: the
// absolute name, the server, the time limit and the error.
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
		failed.Server = server // net names the server that it believes it asked
	}
	return none, failed
}

// failure makes the error of a look-up from the one that net returned.
func failure(ctx, limited context.Context, err error, name string) *net.DNSError {
	// When a context ends, net reports how that looked on a socket.
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
		failed := timedOut(name) // without the numbers of passing ports in its text
		failed.Server = dns.Server
		return failed
	}
	failed := *dns // net may share the one it returned among callers
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
