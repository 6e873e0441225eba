package tlsrpt

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/internal/fetch"
)

const (
	// retryLimit is for how long a report is tried after it was due. RFC 8460, Section
	// 5.5: "up to 24 hours after the initial attempt".
	retryLimit = 24 * time.Hour

	// minRetry and maxRetry bound the time between two tries.
	minRetry = 15 * time.Minute
	maxRetry = 4 * time.Hour

	// sendLimit ends a delivery to one destination.
	sendLimit = time.Minute

	// refusalTime is for how long a destination that has refused for good gets nothing.
	refusalTime = 7 * 24 * time.Hour
)

// send sends the report of a domain and day to those destinations that do not have it yet.
// What is about to happen is stored before it does.
func (c *Collector) send(ctx context.Context, base string) {
	now := time.Now()
	e, gone, err := c.gather(ctx, base)
	if err != nil {
		c.log.Error("tlsrpt: a report cannot be read", "error", err)
		return
	}
	s := &e.Sending
	if e.Domain == "" || c.counts(e) || s.Tries > 0 && s.Next.After(now) && s.Next.Sub(now) <= maxRetry {
		return
	}
	if s.Tries++; s.ID == "" {
		s.ID = dayKey(e.day) + "." + strings.ToLower(rand.Text())
	}
	s.Next = now.Add(min(minRetry<<min(s.Tries-1, 10), maxRetry))
	if !c.save(ctx, append([]cache.Change{e.change()}, gone...)...) {
		return
	}
	if now.Sub(dueAt(base, e.day)) > retryLimit {
		c.settle(ctx, e)
		return
	}
	record, err := LookupRecord(ctx, c.opts.Resolver, e.Domain)
	if err != nil {
		if isFinal(err) {
			c.finish(ctx, e, &c.stats.Unwanted)
		}
		return
	}
	unsettled := false
	for _, uri := range record.RUA {
		d := s.to(uri)
		if refusal, _, _ := c.store.Get(ctx, refusedPrefix+d.ID); d.State == failed && refuses(refusal) {
			d.State = refused
		}
		if d.State != failed {
			continue
		}
		if d.State = handedOver; !c.save(ctx, e.change()) {
			return
		}
		err := c.deliver(ctx, e.report(c.opts.Organization, c.opts.Contact), e.Domain, uri)
		switch {
		case err == nil:
			d.State = accepted
			c.tally(&c.stats.Reports, 1)
			continue
		case ctx.Err() != nil:
			return // nobody knows whether it was taken
		case isRefusal(err):
			d.State = refused
			until := now.Add(refusalTime)
			c.save(ctx, cache.Change{Key: refusedPrefix + d.ID, Value: fmt.Append(nil, until.Unix()), Expires: until})
		default:
			d.State, unsettled = failed, true
		}
		c.tally(&c.stats.Failures, 1)
		c.log.Info("tlsrpt: a report was not taken", "domain", e.Domain, "destination", uri.String(),
			"for good", d.State == refused, "error", fmt.Sprintf("%+.300q", err))
	}
	if unsettled {
		c.save(ctx, e.change())
	} else {
		c.settle(ctx, e)
	}
}

// settle ends the work on e, which no destination will get any more.
func (c *Collector) settle(ctx context.Context, e *entry) {
	counter := &c.stats.Dropped
	for _, d := range e.Sending.Destinations {
		switch {
		case d.State == accepted:
			counter = &c.stats.Reported
		case d.State == handedOver && counter == &c.stats.Dropped:
			counter = &c.stats.Unconfirmed
		}
	}
	if counter == &c.stats.Dropped {
		c.log.Warn("tlsrpt: no destination has taken a report", "domain", e.Domain, "report", e.key)
	}
	c.finish(ctx, e, counter)
}

// finish notes that the report is over, and where its outcomes belong.
func (c *Collector) finish(ctx context.Context, e *entry, counter *uint64) {
	if c.save(ctx, e.over()) {
		c.tally(counter, e.sessions())
	}
}

// counts reports whether some of what belongs to e may not have been written yet.
func (c *Collector) counts(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[dayDomain{e.day, e.Domain}] != nil
}

func (c *Collector) tally(counter *uint64, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*counter += n
}

// to is what is known about a destination.
func (s *sending) to(uri URI) *destination {
	id := fmt.Sprintf("%.16x", sha256.Sum256([]byte(uri.String())))
	i := slices.IndexFunc(s.Destinations, func(d destination) bool { return d.ID == id })
	if i < 0 {
		i = len(s.Destinations)
		s.Destinations = append(s.Destinations, destination{ID: id})
	}
	return &s.Destinations[i]
}

// refuses reports whether a refusal in the store still holds. One that would hold for too
// long is from a clock that was wrong.
func refuses(value []byte) bool {
	until, _ := strconv.ParseInt(string(value), 10, 64)
	left := time.Until(time.Unix(until, 0))
	return 0 < left && left <= refusalTime
}

// deliver hands a report to one destination.
func (c *Collector) deliver(ctx context.Context, r *Report, domain string, to URI) error {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
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

// isRefusal reports whether a destination refuses reports for good.
func isRefusal(err error) bool {
	if status, ok := errors.AsType[statusError](err); ok {
		return status/100 == 4 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
	}
	reply, ok := errors.AsType[*textproto.Error](err)
	return ok && reply.Code/100 == 5
}

// isFinal reports whether an error of LookupRecord means that the domain gets no reports.
func isFinal(err error) bool {
	return errors.Is(err, ErrNoRecord) || errors.Is(err, ErrManyRecords) || errors.Is(err, ErrInvalidRecord)
}
