package tlsrpt

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mtasts/go-mtasts/internal/fetch"
)

// sendLimit is for one try of a report. Its destinations share it: domains with many silent ones
// must not take the places of others.
const sendLimit = time.Minute

// deliver hands a report to one destination.
func (c *Collector) deliver(ctx context.Context, r *Report, domain string, to URI, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if to.URL != "" {
		body, err := r.Gzip()
		if err != nil {
			return err
		}
		return c.post(ctx, to.URL, body)
	}
	message, err := r.Mail(c.opts.From, to.Address, domain)
	if err == nil && c.opts.Sign != nil {
		message, err = c.opts.Sign(message)
	}
	if err != nil {
		return err
	}
	return c.opts.SendMail(ctx, c.opts.From, to.Address, message)
}

// post posts a report (RFC 8460, Section 5.4).
func (c *Collector) post(ctx context.Context, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", MediaTypeGzip)
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()             // unread, for the status says it all
	if resp.StatusCode/100 != 2 { // "typically a 200 or 201"
		return statusError(resp.StatusCode)
	}
	return nil
}

// newHTTPClient returns a client that verifies its peer, follows no redirect, dials only
// addresses that opts allow, and keeps no connection.
func newHTTPClient(opts *Options) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            fetch.DialContext(opts.AllowNets, opts.Resolver),
			TLSClientConfig:        &tls.Config{RootCAs: opts.RootCAs, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// A statusError is the status of an answer that is none of success.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("the status is %d", int(e)) }

// ErrRefused is for Options.SendMail: the address refuses reports for good, with a 5xx reply to
// RCPT or DATA. Any other 5xx reply is about the host, and not about the address.
var ErrRefused = errors.New("the address takes no reports")

// isRefusal reports whether a destination refuses reports for good.
func isRefusal(err error) bool {
	if status, ok := errors.AsType[statusError](err); ok {
		return status/100 == 4 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
	}
	return errors.Is(err, ErrRefused)
}
