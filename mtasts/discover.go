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

// A finding is the result of a check.
type finding struct {
	fetched *Policy // the policy that was fetched, if one was
	seenID  bool    // and one was fetched or cached under its id before
	kept    *Policy // otherwise the cached policy, if it is valid
	err     *Error  // why there is neither, or why kept could not be checked

	fetchFailed bool // err is about the fetch
	backedOff   bool // which was not tried, because one has failed a moment ago
}

// incomplete returns why the check could not be completed, and nil if it could: the DNS gave
// no answer, or there is an id whose policy could not be fetched.
func (f *finding) incomplete() *Error {
	if f.err != nil && (f.err.Temporary || f.fetchFailed) {
		return f.err
	}
	return nil
}

// discover asks the DNS for the id of domain, and fetches the policy file if the id is new
// (RFC 8461, Section 5.1, steps 1 and 3; Section 3). e holds what is cached. The finding is
// empty once the client is closed.
//
// The record comes before the address of the policy host. Both at once would save one round
// trip of five at the first message to a domain with a policy, and cost every domain without
// one two more queries. The file comes after the record: an older file would be cached under
// an id that is not its own (Section 8.1).
func (c *Client) discover(domain string, e *cacheEntry, l *lookup) finding {
	c.stats.discoveries.Add(1)
	due := e.isDue()
	id, failure := c.lookupID(domain)
	if c.ctx.Err() != nil {
		return finding{}
	}
	now := time.Now()
	known := e.valid(now)
	refresh := l.job != nil
	refetch := known != nil && (refresh || known.mayBeStale(now, l.recheck, due))
	if failure != nil && refetch && (refresh || !failure.Temporary) {
		// Section 10.2: "regardless of the state of the TXT record".
		id, failure = known.ID, nil
	}
	if failure != nil {
		c.reportRecord(known, failure)
		return finding{kept: known, err: failure}
	}
	sameID := known != nil && known.ID == id
	if sameID && !refetch {
		// The record is not authenticated, so it confirms nothing: the policy
		// lives as long as it did before.
		return finding{kept: known}
	}
	if last, recent := e.recentFetch(id, c.since()); recent {
		switch {
		case last.failure != nil:
			c.stats.backoffs.Add(1)
			return finding{kept: known, err: last.failure, fetchFailed: true, backedOff: true}
		case known != nil && !refetch && !l.recheck:
			// Two name servers that disagree give two ids in turn.
			return finding{kept: known}
		}
	}

	if !refresh { // Run has places of its own for its fetches
		select {
		case c.fetches <- struct{}{}:
			defer func() { <-c.fetches }()
		case <-l.hurry:
		case <-c.ctx.Done():
			return finding{}
		}
	}
	fetched, failure := c.fetchPolicy(domain, id)
	if c.ctx.Err() != nil {
		return finding{}
	}
	again := e.noteFetch(fetchAttempt{id: id, at: c.since(), failure: failure})
	if failure == nil {
		c.stats.fetchesOK.Add(1)
		return finding{fetched: fetched, seenID: again || sameID}
	}
	c.stats.fetchesFailed.Add(1)
	known = e.valid(time.Now()) // the fetch may have taken a minute
	if known == nil || known.speaks() {
		c.emitError(EventPolicy, known, failure)
	}
	return finding{kept: known, err: failure, fetchFailed: true}
}

// mayBeStale reports whether the file is to be fetched again even if the record has the id of
// p: because the clock was wrong when p was fetched, because the check comes before a message
// fails for good, or because p came under a new id with the file of the old one. A cache in
// front of the policy host may then have held the new file back (RFC 8461, Section 8.1).
func (p *Policy) mayBeStale(now time.Time, recheck, due bool) bool {
	age := now.Sub(p.Fetched)
	switch {
	case age < 0:
		return true
	case age < fetchSpacing:
		return false
	case recheck:
		return true
	case p.idAhead.IsZero():
		return false
	}
	const least, most, end = fetchSpacing, time.Hour, 24 * time.Hour
	since := now.Sub(p.idAhead)
	return since < end && (due || age >= min(max(since/2, least), most))
}

// noteID notes whether p, which replaces before, came under a new id with the file of the
// old one.
func (p *Policy) noteID(before *Policy, seenID bool) {
	switch {
	case p.Text != before.Text:
	case p.ID != before.ID && !seenID:
		p.idAhead = p.Fetched
	default:
		p.idAhead = before.idAhead
	}
}

// reportRecord reports why there is no id, if the publisher is to know.
func (c *Client) reportRecord(known *Policy, failure *Error) {
	invalid := failure.Reason == ReasonRecordInvalid || failure.Reason == ReasonRecordsMany
	switch {
	case known.speaks():
		// RFC 8461, Section 6: policy fetch failures of any kind are to be reported
		// when a valid policy exists in the policy cache.
		reported := *failure
		reported.Result = ResultPolicyFetchError
		if invalid {
			reported.Result = ResultPolicyInvalid
		}
		c.emitError(EventPolicy, known, &reported)
	case known == nil && invalid:
		// Section 3.1: such a domain has no policy. A report says no-policy-found,
		// so no result type fits.
		c.emitError(EventPolicy, nil, failure)
	}
}

// lookupID returns the id of the domain's TXT record. The error is Temporary if the DNS did
// not say whether there is one.
func (c *Client) lookupID(domain string) (string, *Error) {
	name := sts.RecordLabel + domain
	if len(name) > 253 {
		// No such name can exist (RFC 1035, Section 2.3.4).
		return "", &Error{Domain: domain, Reason: ReasonNoRecord, Err: sts.ErrNoRecord}
	}
	ctx, cancel := context.WithTimeout(c.ctx, lookupLimit)
	defer cancel()
	// RFC 8461, Section 3.4: the record of the domain itself, never of a parent.
	txts, err := c.resolver.LookupTXT(ctx, name+".")
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "", &Error{Domain: domain, Reason: ReasonNoRecord, Err: fmt.Errorf("%w: %w", sts.ErrNoRecord, err)}
	} else if err != nil {
		return "", &Error{Domain: domain, Reason: ReasonDNSFailure, Temporary: true, Err: err}
	}
	record, err := sts.FindRecord(txts)
	switch {
	case err == nil:
		return strings.Clone(record.ID), nil // not a part of a record of up to 64 KiB
	case errors.Is(err, sts.ErrNoRecord):
		return "", &Error{Domain: domain, Reason: ReasonNoRecord, Err: err}
	case errors.Is(err, sts.ErrManyRecords):
		return "", &Error{Domain: domain, Reason: ReasonRecordsMany, Err: err}
	default:
		return "", &Error{Domain: domain, Reason: ReasonRecordInvalid, Err: err}
	}
}

// fetchPolicy gets and parses the policy file of domain (RFC 8461, Section 3.3).
func (c *Client) fetchPolicy(domain, id string) (*Policy, *Error) {
	host := sts.PolicyLabel + domain
	text, err := c.get(c.ctx, host)
	if err != nil {
		return nil, c.fetchFailure(domain, err)
	}
	fetched := time.Now()
	file, err := c.files.parse(text)
	if err != nil {
		return nil, &Error{Domain: domain, Result: ResultPolicyInvalid, Reason: ReasonPolicyInvalid,
			Err: fmt.Errorf("https://%s/.well-known/mta-sts.txt: %w", host, err)}
	}
	if file.Odd > 0 {
		c.log.Warn("mtasts: a policy has mx values that can match no host", "domain", domain, "values", file.Odd)
	}
	return newPolicy(domain, id, file, fetched), nil
}

// fetchFailure puts a failed GET into the terms of RFC 8460, Section 4.3.2.2.
func (c *Client) fetchFailure(domain string, err error) *Error {
	// The error is cached, and may refer to all that the host has sent, above all its
	// certificates. Only its text is kept.
	e := &Error{Domain: domain, Result: ResultPolicyFetchError, Err: errors.New(printable(describe(err), 400))}
	if answer, ok := errors.AsType[*fetch.Error](err); ok && answer.Refused {
		e.Reason = ReasonNotAPolicyFile
		return e
	}
	result, reason := certcheck.ClassifyWith(err, c.roots)
	e.Reason = reason
	switch {
	case reason == ReasonNoAuthorities: // the fault of this machine, not of the host
		e.Result = ResultValidationFailure
		c.checkAuthorities(e)
	case strings.HasPrefix(result, "certificate-"):
		e.Result, e.Reason = ResultWebPKIInvalid, cmp.Or(reason, result)
	}
	return e
}
