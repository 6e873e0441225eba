package mtasts

import "github.com/mtasts/go-mtasts/internal/fetch"

// NewForPort is New for policy hosts at another port, where anybody may listen.
func NewForPort(port uint16, store Store, opts *Options) *Client {
	c := New(store, opts)
	c.get = fetch.New(fetch.Config{
		RootCAs: opts.RootCAs, AllowNets: opts.AllowNets, LookupNetIP: c.lookupNetIP, Port: port,
	}).Get
	return c
}
