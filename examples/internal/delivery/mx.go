package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
		// RFC 5321, Section 5.1: a domain without MX records is its own MX host if it has an address.
		if _, err := s.DNS.LookupNetIP(ctx, "ip", domain); isNotFound(err) {
			return nil, &Rejection{Err: fmt.Errorf("%s has neither an MX record nor an address", domain)}
		}
		return []string{domain}, nil
	} else if err != nil {
		return nil, err
	}
	var hosts []string
	for _, mx := range records {
		if mx.Host != "." {
			hosts = append(hosts, mx.Host)
		}
	}
	if len(hosts) == 0 { // RFC 7505, Section 3
		return nil, &Rejection{Err: fmt.Errorf("%s does not accept mail: it has a null MX", domain)}
	}
	return hosts, nil
}

// isNotFound reports whether err means that there is no such record. A failed look-up does not.
func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
