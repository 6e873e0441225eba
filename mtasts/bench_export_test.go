package mtasts

import (
	"context"

	"github.com/mtasts/go-mtasts/internal/fetch"
)

// NewForPort is New for policy hosts that listen at another port, which needs no privilege.
func NewForPort(port uint16, store Store, opts *Options) *Client {
	c := New(store, opts)
	c.get = fetch.New(fetch.Config{
		RootCAs: opts.RootCAs, AllowNets: opts.AllowNets, LookupNetIP: c.lookupNetIP, Port: port,
	}).Get
	return c
}

// NewWithoutHTTPS is New with get in place of the HTTPS GET of a policy file.
func NewWithoutHTTPS(get func(ctx context.Context, policyHost string) (string, error), store Store, opts *Options) *Client {
	c := New(store, opts)
	c.get = get
	return c
}
