package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// DNS answers the look-ups of a delivery. [resolver.System], [resolver.Fake] and *[net.Resolver]
// implement it. An absent record is an error.
type DNS interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// lookupHosts returns the smart host or the MX hosts of domain, in the order of preference.
func (s *Sender) lookupHosts(ctx context.Context, domain string) ([]string, error) {
	if s.SmartHost != "" {
		return []string{s.SmartHost}, nil
	}
	records, err := s.DNS.LookupMX(ctx, domain)
	if isNotFound(err) {
		return s.implicitMX(ctx, domain)
	} else if err != nil {
		return nil, err
	}
	var hosts []string
	for _, mx := range records {
		if mx.Host != "." {
			hosts = append(hosts, mx.Host)
		}
	}
	if len(hosts) == 0 {
		// RFC 7505, Section 3: a null MX.
		return nil, &Rejection{Err: fmt.Errorf("%s does not accept mail: it has a null MX", domain)}
	}
	return hosts, nil
}

// implicitMX is for a domain without MX records: the domain is its own MX host if it has an
// address (RFC 5321, Section 5.1).
func (s *Sender) implicitMX(ctx context.Context, domain string) ([]string, error) {
	if _, err := s.DNS.LookupNetIP(ctx, "ip", domain); isNotFound(err) {
		return nil, &Rejection{Err: fmt.Errorf("%s has neither an MX record nor an address", domain)}
	}
	return []string{domain}, nil
}

// dialLimit is how long one address of a host may take to accept a connection.
const dialLimit = 30 * time.Second

// dial connects to one address of a host.
func (s *Sender) dial(ctx context.Context, addr netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	return s.Dial(ctx, "tcp", net.JoinHostPort(addr.String(), s.Port))
}

// isNotFound reports whether err means that there is no such record. A failed look-up does not.
func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
