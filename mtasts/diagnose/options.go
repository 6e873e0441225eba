package diagnose

import (
	"cmp"
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
)

// A Resolver answers the questions of a diagnosis. *[net.Resolver], [resolver.System] and
// [resolver.Fake] are such; the latter two also have LookupAliases and LookupTLSA, without
// which a report says nothing about CNAMEs and DANE. Names end in a dot.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options say how Diagnose examines a domain. Nil and the zero value are the usual choice:
// what a sender with the zero [mtasts.Options] would do, without sessions with MX hosts.
type Options struct {
	// Resolver is asked for all names. Nil: [resolver.System]{}.
	Resolver Resolver

	// Transport, RootCAs and AllowNets are those of the sender: see [mtasts.Options].
	// RootCAs also judge the MX hosts, and AllowNets also are where these may live.
	Transport http.RoundTripper
	RootCAs   *x509.CertPool
	AllowNets []netip.Prefix

	// Probe opens a session with each MX host, up to STARTTLS, and two with one that fails
	// in TLS. No mail is sent.
	Probe bool

	// Dial connects to "mx.example.com:25" for a probe. Nil: over TCP, to an address that
	// the address guard lets pass. A Dial of the caller's has to see to that itself.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Helo is the name of the client in EHLO. Empty: "localhost.localdomain".
	Helo string

	// Limit is for a diagnosis as a whole. 0: two minutes.
	Limit time.Duration

	// Cached is what a sender has cached for the domain, if that is to be compared with
	// what is published.
	Cached *mtasts.Cached

	port uint16 // of policy hosts, for tests
}

// withDefaults returns a copy of o in which nothing is left out.
func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Resolver == nil {
		opts.Resolver = resolver.System{}
	}
	opts.Helo = cmp.Or(opts.Helo, "localhost.localdomain")
	opts.Limit = cmp.Or(opts.Limit, 2*time.Minute)
	return opts
}

// aliases returns the targets of the CNAMEs on the way from name, nil if the resolver
// cannot tell.
func (o *Options) aliases(ctx context.Context, name string) []string {
	r, ok := o.Resolver.(interface {
		LookupAliases(ctx context.Context, name string) ([]string, error)
	})
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	list, err := r.LookupAliases(ctx, name+".")
	if err != nil {
		return nil
	}
	return cleanAll(append([]string{}, list...), maxAliases)
}

// txt looks up TXT records. That there are none is an empty list.
func (o *Options) txt(ctx context.Context, name string) ([]string, error) {
	if len(name) > 253 {
		return nil, nil // no such name can exist (RFC 1035, Section 2.3.4)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	txts, err := o.Resolver.LookupTXT(ctx, name+".")
	if isNotFound(err) {
		return nil, nil
	}
	return txts, err
}
