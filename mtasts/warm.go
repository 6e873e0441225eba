package mtasts

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

const (
	// maxWarming bounds the look-ups of a Warm under way. It leaves most of maxFetches to
	// the messages.
	maxWarming = 128

	// maxPaced bounds the domains that wait for the pace of their policy host, so that many
	// at one address do not hold up those behind them in the list.
	maxPaced = 4096
)

// A WarmProgress is how far a [Client.Warm] has come. The counts are of the domains done so
// far, each of which is in one of them.
type WarmProgress struct {
	Domain string // the last domain that was done, as in the list: untrusted, and not escaped
	Err    error  // why it has no policy; nil if it has one

	Fetched int // its policy has been fetched now
	Cached  int // its policy was cached before
	None    int // it does not publish a policy
	Failed  int // whether it does is not known, or the policy cannot be had or used
	Invalid int // it is not a domain
}

// Done is the number of domains done.
func (p WarmProgress) Done() int { return p.Fetched + p.Cached + p.None + p.Failed + p.Invalid }

// Warm fetches the policies of domains before the first message, so that an attacker who is on
// the way by then comes too late (RFC 8461, Section 10.2). The list is only a hint: for each
// domain Warm does what [Client.PolicyFor] does, and what the domain does not publish itself
// is not cached. A domain that already has a valid policy costs one read of the store, so that
// a second Warm goes on where the first was stopped.
//
// Warm counts as a use, like a message: [Client.Run] refreshes the policies for 30 days, and
// longer if the domains are asked for, or warmed, again.
//
// At most 128 look-ups are under way, and policy hosts at the same address are asked no more
// often than every 50 ms. progress, which may be nil, is called after each domain, one call
// at a time, and must return quickly.
//
// The error is the cause of the end of ctx, or [ErrClosed]. Then the domains whose look-up was
// under way are not counted. A domain without a policy is no error.
func (c *Client) Warm(ctx context.Context, domains iter.Seq[string], progress func(WarmProgress)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })()

	w := &warmer{client: c, report: progress, places: make(chan struct{}, maxWarming)}
	paced := make(chan struct{}, maxPaced)
	var work sync.WaitGroup
	for domain := range domains {
		paced <- struct{}{} // each holder ends with ctx
		if ctx.Err() != nil {
			break
		}
		work.Go(func() {
			defer func() { <-paced }()
			p, cached, err := w.find(ctx, domain)
			if errors.Is(err, ErrClosed) {
				cancel(ErrClosed)
			}
			if ctx.Err() == nil {
				w.count(domain, p, cached, err)
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}

// A warmer is a Warm.
type warmer struct {
	client *Client
	pace   pace
	places chan struct{} // one for each look-up under way

	mu       sync.Mutex
	progress WarmProgress
	report   func(WarmProgress)
}

// find is PolicyFor at the pace of the policy host. It says whether the policy was cached
// before.
func (w *warmer) find(ctx context.Context, domain string) (p *Policy, cached bool, err error) {
	c := w.client
	name, err := sts.PolicyDomain(domain)
	if err != nil {
		return nil, false, err
	}
	w.places <- struct{}{} // each holder ends with ctx
	defer func() { <-w.places }()
	if p := c.usedNow(name); p != nil {
		return p, true, nil
	}
	now := time.Now()
	p, used, err := c.load(name)
	switch {
	case err != nil:
		return nil, false, err
	case p.valid(now):
		if now.Sub(used) >= storedUseInterval {
			c.writer.note(p, now, true)
		}
		return p, true, nil
	}
	if wait := time.Until(w.pace.reserve(c.policyHostKey(ctx, name))); wait > 0 {
		<-w.places
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		w.places <- struct{}{}
	}
	p, err = c.PolicyFor(ctx, name)
	return p, false, err
}

// count counts domain by what came of it.
func (w *warmer) count(domain string, p *Policy, cached bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := &w.progress
	n.Domain, n.Err = domain, err
	if err == nil {
		n.Err = p.Cause
	}
	failure, ours := errors.AsType[*Error](n.Err)
	switch {
	case cached:
		n.Cached++
	case n.Err == nil:
		n.Fetched++
	case !ours: // of sts.PolicyDomain
		n.Invalid++
	case failure.Reason == ReasonNoRecord:
		n.None++
	default:
		n.Failed++
	}
	if w.report != nil {
		w.report(*n)
	}
}
