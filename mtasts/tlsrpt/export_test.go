package tlsrpt

import (
	"context"
	"net/http"
)

// SetTransport replaces the network behind https: destinations, for a bubble of synctest.
func (c *Collector) SetTransport(t http.RoundTripper) { c.client.Transport = t }

// Post is what Run does with an https: destination.
func (c *Collector) Post(ctx context.Context, url string, body []byte) error {
	return c.post(ctx, url, body)
}

// IsRefusal reports whether an error means that a destination takes no reports.
func IsRefusal(err error) bool { return isRefusal(err) }
