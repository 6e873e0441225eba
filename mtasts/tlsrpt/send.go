package tlsrpt

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
)

const (
	retryLimit  = 24 * time.Hour // RFC 8460, Section 5.5: "up to 24 hours after the initial attempt"
	minRetry    = 15 * time.Minute
	maxRetry    = 4 * time.Hour
	refusalTime = 7 * 24 * time.Hour // in which a destination that refused for good gets nothing
)

// sending is the progress of a report.
type sending struct {
	ID  string    // of the report
	End time.Time // of all tries

	// Sent has the destinations that were handed the report, by a hash of the domain and the
	// URI: true if they have accepted it.
	Sent map[string]bool
}

// send sends the report about e to those destinations that do not have it yet. That it is
// about to do so is stored before. If the process then ends before the answer is known, the
// report may have been delivered, and is not sent again.
func (c *Collector) send(ctx context.Context, e *entry) {
	now := time.Now()
	s := c.begin(e, now)
	if now.After(s.End) {
		c.settle(e, &c.stats.Dropped)
		return
	}
	record, err := LookupRecord(ctx, c.opts.Resolver, e.Domain)
	if err != nil {
		if isFinal(err) {
			c.settle(e, &c.stats.Unwanted)
		}
		return
	}
	again := false
	for _, uri := range record.RUA {
		// A destination that refuses one domain may take reports to others, who name it with more right.
		id := fmt.Sprintf("%.16x", sha256.Sum256([]byte(e.Domain+" "+uri.String())))
		if _, sent := s.Sent[id]; sent || ctx.Err() != nil || c.hasRefused(ctx, id) {
			continue
		}
		err := c.note(e, func() { s.Sent[id] = false })
		if err == nil {
			err = c.deliver(ctx, c.report(e), e.Domain, uri, sendLimit/time.Duration(len(record.RUA)))
		}
		if err == nil {
			_ = c.note(e, func() { s.Sent[id], c.stats.Reports = true, c.stats.Reports+1 })
			continue
		}
		if ctx.Err() != nil {
			return // Nobody knows whether it was taken.
		}
		final := isRefusal(err)
		if final {
			until := now.Add(refusalTime)
			_ = c.write(cache.Change{Key: refusedPrefix + id, Value: strconv.AppendInt(nil, until.Unix(), 10), Expires: until})
		}
		again = again || !final
		_ = c.note(e, func() { delete(s.Sent, id); c.stats.Failures++ })
		c.log.Info("tlsrpt: a report was not taken", "domain", e.Domain, "destination", uri.String(),
			"for good", final, "error", fmt.Sprintf("%+.300q", err))
	}
	if !again && ctx.Err() == nil {
		c.settle(e, &c.stats.Dropped)
	}
}

// begin begins a try. From now on nothing more is counted in e.
func (c *Collector) begin(e *entry, now time.Time) *sending {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Sending == nil {
		id := startOf(e.Day).Format(dayLayout) + "." + strings.ToLower(rand.Text())
		e.Sending = &sending{ID: id, End: e.Next.Add(retryLimit)}
	}
	s := e.Sending
	if s.Sent == nil {
		s.Sent = make(map[string]bool) // gob leaves out an empty one
	}
	tried := now.Sub(s.End.Add(-retryLimit))
	e.Next = now.Add(min(max(tried, minRetry), maxRetry)) // RFC 8460, Section 5.5: "exponential backoff"
	return s
}

// note makes a change to e and stores it.
func (c *Collector) note(e *entry, change func()) error {
	c.mu.Lock()
	change()
	c.markChanged(e)
	c.mu.Unlock()
	return c.save(e)
}

// settle ends the work on a report, and counts its outcomes. If no destination was handed the
// report, they belong to counter.
func (c *Collector) settle(e *entry, counter *uint64) {
	for _, accepted := range e.Sending.Sent {
		if accepted {
			counter = &c.stats.Reported
			break
		}
		counter = &c.stats.Unconfirmed
	}
	var n uint64
	for _, p := range e.Policies {
		n += p.Successes + p.Failures
	}
	c.storing.Lock() // so that no other write of e comes after this
	defer c.storing.Unlock()
	if c.write(cache.Change{Key: e.key()}) != nil {
		return
	}
	c.mu.Lock()
	*counter += n
	c.stats.Memory -= e.Size
	e.changed = false
	delete(c.days[e.Day], e.Domain)
	if len(c.days[e.Day]) == 0 {
		delete(c.days, e.Day)
	}
	c.mu.Unlock()
	if counter == &c.stats.Dropped {
		c.log.Warn("tlsrpt: no destination has taken a report", "domain", e.Domain, "report", e.Sending.ID, "outcomes", n)
	}
}

// hasRefused reports whether a destination has refused a domain for good within a week.
func (c *Collector) hasRefused(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	value, _, err := c.store.Get(ctx, refusedPrefix+id)
	return c.stored(err) == nil && refuses(value)
}

// refuses reports whether a stored refusal still holds. One that would hold for too long was
// stored before the clock was set back.
func refuses(value []byte) bool {
	until, _ := strconv.ParseInt(string(value), 10, 64)
	left := time.Until(time.Unix(until, 0))
	return 0 < left && left <= refusalTime
}
