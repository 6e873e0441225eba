package tlsrpt

import "net/http"

// SetTransport replaces the network behind https: destinations, for a bubble of synctest.
func (c *Collector) SetTransport(t http.RoundTripper) { c.client.Transport = t }
