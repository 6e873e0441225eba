package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/resolver"
)

// A dnsClient is what hosts asks. resolver.System is one.
type dnsClient interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupTLSA(ctx context.Context, name string) ([]resolver.TLSA, bool, error)
	LookupAliases(ctx context.Context, name string) ([]string, error)
	LookupAuthenticated(ctx context.Context, recordType, name string) (bool, error)
}

const (
	// maxHosts is how many MX hosts of a domain count, in MX order. Postfix itself tries 5
	// addresses (smtp_mx_address_limit).
	maxHosts = 32

	hostsLife  = 5 * time.Minute  // of what the DNS has answered
	failedLife = 30 * time.Second // of a look-up that failed
	hostsUnits = 1 << 16          // in memory; an ordinary destination is one unit
	unitOctets = 256
)

// hosts knows the MX hosts of destinations, and whether DANE applies to them.
type hosts struct {
	dns  dnsClient
	dane bool
	lru  *cache.LRU[*destination]
}

// A destination is what the DNS says of a next hop.
type destination struct {
	mx      []string
	failed  []string // of the MX hosts: those whose addresses could not be looked up; not in mx
	dane    bool     // an MX host has usable TLSA records
	err     error
	expires time.Time
}

func newHosts(dns dnsClient, dane bool) *hosts {
	return &hosts{dns: dns, dane: dane, lru: cache.NewLRU[*destination](hostsUnits)}
}

// of returns the MX hosts of a next hop.
func (h *hosts) of(ctx context.Context, hop nextHop) *destination {
	key := hop.String()
	if d, ok := h.lru.Get(key); ok && time.Now().Before(d.expires) {
		return d
	}
	d := &destination{}
	d.err = h.lookup(ctx, hop, d)
	if ctx.Err() != nil {
		return d // a failure may be due to the caller's limit
	}
	life := hostsLife
	if d.err != nil || d.failed != nil {
		life = failedLife
	}
	d.expires = time.Now().Add(life)
	octets := len(strings.Join(d.mx, "")) + len(strings.Join(d.failed, ""))
	h.lru.Add(key, d, 1+octets/unitOctets)
	return d
}

// lookup fills d.
func (h *hosts) lookup(ctx context.Context, hop nextHop, d *destination) (err error) {
	if hop.bracketed {
		d.mx = []string{hop.domain} // no MX look-up: the next hop is the host
	} else if d.mx, err = h.lookupMX(ctx, hop.domain); err != nil {
		return fmt.Errorf("MX look-up: %w", err)
	}
	if !h.dane {
		return nil
	}
	// RFC 7672, Section 2.2.1. With an insecure MX record, Postfix takes "dane-only" for
	// an order to deliver to nobody.
	if !hop.bracketed {
		secure, err := h.dns.LookupAuthenticated(ctx, "MX", hop.domain)
		if err != nil {
			return fmt.Errorf("MX look-up: %w", err)
		}
		if !secure {
			return nil
		}
	}
	// One host with usable records is enough: with "dane-only" Postfix does without a host
	// whose look-up fails.
	var reachable []string
	var noAddress, noTLSA error
	for _, host := range d.mx {
		secure, err := h.dns.LookupAuthenticated(ctx, "A", host)
		alias := false // only the name itself is secure
		if err == nil && !secure {
			alias, err = h.dns.LookupAuthenticated(ctx, "CNAME", host)
		}
		if err != nil {
			d.failed, noAddress = append(d.failed, host), cmp.Or(noAddress, err)
			continue
		}
		reachable = append(reachable, host)
		// RFC 7672, Section 2.2.2: without a secure address or alias there is no TLSA
		// look-up. Many servers of unsigned zones fail on one.
		if !secure && !alias {
			continue
		}
		usable, err := h.usable(ctx, host, hop.port, alias)
		if usable {
			d.dane = true
			return nil
		}
		noTLSA = cmp.Or(noTLSA, err)
	}
	if reachable == nil && noAddress != nil {
		return fmt.Errorf("address look-up of the MX hosts: %w", noAddress)
	}
	if noTLSA != nil {
		return fmt.Errorf("TLSA look-up: %w", noTLSA)
	}
	d.mx = reachable
	return nil
}

// lookupMX returns the MX hosts of a domain, in MX order.
func (h *hosts) lookupMX(ctx context.Context, domain string) ([]string, error) {
	records, err := h.dns.LookupMX(ctx, domain)
	if notFound(err) {
		return []string{domain}, nil // RFC 5321, Section 5.1: the implicit MX
	}
	if err != nil {
		return nil, err
	}
	var mx []string
	for _, r := range records[:min(len(records), maxHosts)] {
		if host := strings.TrimSuffix(r.Host, "."); host != "" { // else a null MX (RFC 7505)
			mx = append(mx, host)
		}
	}
	return mx, nil
}

// usable reports whether a host has usable TLSA records. If it is an alias, those of the name
// at the end come first (RFC 7672, Section 2.2.2), unless that name is insecure. Smart hosts
// often are aliases.
func (h *hosts) usable(ctx context.Context, host, port string, insecureTarget bool) (bool, error) {
	names := []string{host}
	if !insecureTarget {
		aliases, err := h.dns.LookupAliases(ctx, host)
		if err != nil && !notFound(err) {
			return false, err
		}
		names = append(aliases[max(0, len(aliases)-1):], host)
	}
	for _, name := range names {
		records, secure, err := h.dns.LookupTLSA(ctx, "_"+port+"._tcp."+name)
		if err != nil && !notFound(err) {
			return false, err
		}
		if secure && len(records) > 0 {
			return slices.ContainsFunc(records, isUsable), nil
		}
	}
	return false, nil
}

func notFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

// isUsable reports whether a client can use a record: RFC 7672, Section 3.1.3, leaves out
// the usages 0 and 1, and Section 3.1 what is unknown. A record that is not usable requires
// TLS, which "secure" does too.
func isUsable(r resolver.TLSA) bool {
	if r.Usage != 2 && r.Usage != 3 || r.Selector > 1 {
		return false
	}
	switch r.Matching {
	case 0:
		return len(r.Data) > 0
	case 1:
		return len(r.Data) == 32
	case 2:
		return len(r.Data) == 64
	}
	return false
}
