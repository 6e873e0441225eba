package mtasts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/certcheck"
	"github.com/mtasts/go-mtasts/internal/fetch"
	"github.com/mtasts/go-mtasts/internal/sts"
)

// lookupLimit ends a TXT look-up whose resolver has no limit of its own.
const lookupLimit = 20 * time.Second

// A finding is what a look at a domain has brought to light.
type finding struct {
	learnt *Policy // newly fetched
	kept   *Policy // remembered and valid, if nothing was learnt
	cause  *Error  // why there is neither, or why kept could not be confirmed

	failed  *Error // why the fetch failed, if one was due
	blocked bool   // it was not tried, because it has failed a moment ago

	// doubt is set when the look could not be completed: the DNS gave no
	// answer, or an id was seen whose policy could not be had.
	doubt *Error
}

// span is how long to wait before the next look.
func (f finding) span(c *Client) time.Duration {
	if f.doubt != nil && f.doubt.Temporary {
		return doubtSpacing
	}
	return c.checkInterval
}

// discover looks whether domain publishes another policy than the one in m, and
// fetches it if so (RFC 8461, Section 5.1, steps 1 and 3; Section 3). To refresh is to
// fetch in any case.
//
// The record comes first, and then the address of the policy host. To ask for both at
// once would save a round trip, of five, at the first message to a domain that has a
// policy. But most domains have none: for each of them it would be three queries
// instead of one, two of which are for a name that nobody has announced. Where a policy
// is remembered, nobody waits for the look, or the record nearly always has the same id
// and no address is needed. The file, at any rate, must come after the record: an older
// one would be remembered under an id that is not its own (Section 8.1).
func (c *Client) discover(domain string, m *memo, refresh bool, hurry <-chan struct{}) finding {
	id, failure := c.lookupID(domain)
	if c.ctx.Err() != nil {
		return finding{cause: closedError(domain)}
	}
	known := m.current() // now, for the look-up takes its time
	if failure != nil && refresh && known != nil {
		// Section 10.2: "regardless of the state of the TXT record".
		id, failure = known.ID, nil
	}
	if failure != nil {
		// Section 6: policy fetch failures of any kind are to be reported when
		// a valid policy exists in the policy cache.
		if known.speaks() || known == nil && failure.Result != "" {
			reported := *failure
			reported.Result = cmp.Or(reported.Result, ResultPolicyFetchError)
			c.emitError(EventPolicy, known, &reported)
		}
		found := finding{kept: known, cause: failure}
		if failure.Temporary {
			found.doubt = failure
		}
		return found
	}
	if known != nil && known.ID == id && !refresh {
		// The record is not authenticated, so it confirms nothing: the policy
		// lives as long as it did before.
		return finding{kept: known}
	}
	if b := m.blocked.Load(); b != nil && b.id == id && c.since() < b.until {
		return finding{kept: known, cause: b.cause, doubt: b.cause, failed: b.cause, blocked: true}
	}

	if !refresh { // Run has places of its own for its fetches
		select {
		case c.fetches <- struct{}{}:
			defer func() { <-c.fetches }()
		case <-hurry:
		case <-c.ctx.Done():
			return finding{cause: closedError(domain)}
		}
	}
	learnt, failure := c.fetchPolicy(domain, id)
	switch {
	case c.ctx.Err() != nil:
		return finding{cause: closedError(domain)}
	case failure == nil:
		return finding{learnt: learnt}
	}
	m.blocked.Store(&block{id: id, until: c.since() + fetchSpacing, cause: failure})
	known = m.current()
	if known == nil || known.speaks() {
		c.emitError(EventPolicy, known, failure)
	}
	return finding{kept: known, cause: failure, doubt: failure, failed: failure}
}

// lookupID returns the id of the domain's TXT record. The error is Temporary if
// the DNS did not tell whether there is one.
func (c *Client) lookupID(domain string) (string, *Error) {
	name := sts.RecordLabel + domain
	if len(name) > 253 {
		// No such name can exist (RFC 1035, Section 2.3.4).
		return "", &Error{Domain: domain, Reason: "no-txt-record", Err: sts.ErrNoRecord}
	}
	ctx, cancel := context.WithTimeout(c.ctx, lookupLimit)
	defer cancel()
	// RFC 8461, Section 3.4: the record of the domain itself, never of a parent.
	txts, err := c.resolver.LookupTXT(ctx, name+".")
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "", &Error{Domain: domain, Reason: "no-txt-record", Err: fmt.Errorf("%w: %w", sts.ErrNoRecord, err)}
	} else if err != nil {
		return "", &Error{Domain: domain, Reason: "dns-failure", Temporary: true, Err: err}
	}
	record, err := sts.FindRecord(txts)
	switch {
	case err == nil:
		return strings.Clone(record.ID), nil // and let go of a record of up to 64 KiB
	case errors.Is(err, sts.ErrNoRecord):
		return "", &Error{Domain: domain, Reason: "no-txt-record", Err: err}
	default:
		return "", &Error{Domain: domain, Result: ResultPolicyInvalid, Reason: "txt-record-invalid", Err: err}
	}
}

// fetchPolicy gets and parses the policy file of domain (RFC 8461, Section 3.3).
func (c *Client) fetchPolicy(domain, id string) (*Policy, *Error) {
	host := sts.PolicyLabel + domain
	text, err := c.get(c.ctx, host)
	if err != nil {
		return nil, fetchFailure(domain, err)
	}
	fetched := time.Now()
	file, err := c.files.parse(text)
	if err != nil {
		return nil, &Error{Domain: domain, Result: ResultPolicyInvalid, Reason: "policy-invalid",
			Err: fmt.Errorf("https://%s/.well-known/mta-sts.txt: %w", host, err)}
	}
	if file.Odd > 0 {
		c.log.Warn("mtasts: a policy has mx values that can match no host", "domain", domain, "values", file.Odd)
	}
	return newPolicy(domain, id, file, fetched), nil
}

// fetchFailure puts a failed GET into the terms of RFC 8460, Section 4.3.2.2.
func fetchFailure(domain string, err error) *Error {
	// The error itself may hold on to all that the host has sent, its certificates
	// above all, and is remembered; its text will do.
	e := &Error{Domain: domain, Result: ResultPolicyFetchError, Err: errors.New(printable(err.Error(), 400))}
	kind := fetch.KindTransport
	if fe, ok := errors.AsType[*fetch.Error](err); ok {
		kind = fe.Kind
	}
	result, reason := certcheck.Classify(err)
	switch kind {
	case fetch.KindAnswer:
		e.Reason = "not-a-policy-file"
	case fetch.KindCertificate:
		e.Result, e.Reason = ResultWebPKIInvalid, cmp.Or(reason, result)
	default:
		e.Reason = reason
	}
	return e
}
