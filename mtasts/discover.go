package mtasts

import (
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

// lookupLimit ends a DNS look-up whose resolver has no limit of its own.
const lookupLimit = 20 * time.Second

// A finding is the result of a check.
type finding struct {
	fetched *Policy // nil if nothing was fetched
	seenID  bool    // the id of fetched was fetched or cached before
	shared  *Policy // fetched meanwhile by another client of a shared store
	kept    *Policy // the cached policy, if nothing was fetched and it is valid
	err     *Error  // why there is neither, or why kept could not be checked

	fetchFailed bool // err is about the fetch: of this check, or one within the last five minutes
}

// incomplete returns why the check is incomplete: the DNS gave no answer, or there is an id
// whose policy could not be fetched. It returns nil if the check is complete.
func (f *finding) incomplete() *Error {
	if f.err != nil && (f.err.Temporary || f.fetchFailed) {
		return f.err
	}
	return nil
}

// discover looks up the id of domain, and fetches the policy file if the id has changed (RFC
// 8461, Section 5.1, steps 1 and 3; Section 3). e holds what is cached. If the client is closed,
// the finding is empty.
//
// The address of the policy host is looked up only after the record. To ask for both at once
// would save one of five round trips at first contact, and cost two queries for each domain
// without a policy, which most are. The file is fetched after the record too: a file that is
// older than the record would be cached under a wrong id (Section 8.1).
func (c *Client) discover(domain string, e *cacheEntry, l *lookup) finding {
	c.stats.discoveries.Add(1)
	due := e.mustCheck()
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
			return finding{kept: known, err: last.failure, fetchFailed: true}
		case known != nil && !refetch && !l.recheck:
			// Name servers that disagree give two ids in turn.
			return finding{kept: known}
		}
	}

	if p := c.sharing.elsewhere(domain, id, known, refresh); p != nil {
		return finding{shared: p}
	}
	if !refresh { // Run bounds its own fetches
		select {
		case c.fetches <- struct{}{}:
			defer func() { <-c.fetches }()
		case <-l.fetchNow:
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
	if known == nil || known.applies() {
		c.emitError(EventPolicy, known, failure)
	}
	return finding{kept: known, err: failure, fetchFailed: true}
}

// mayBeStale reports whether to fetch the file again although the id of p has not changed. due
// means that a violation has asked for the check.
func (p *Policy) mayBeStale(now time.Time, recheck, due bool) bool {
	age := now.Sub(p.Fetched)
	switch {
	case age < 0: // the clock was ahead at the fetch, or is behind now
		return true
	case age < fetchSpacing:
		return false
	case recheck: // the last check before a message fails for good
		return true
	}
	// RFC 8461, Section 8.1: the file may change later than the id, for a cache in front of
	// the policy host may still have the old one. So for a day after a new id came with the
	// old file, the file is fetched after a violation, and after 5 to 60 minutes.
	since := now.Sub(p.idAhead)
	return since < 24*time.Hour && (due || age >= min(since/2, time.Hour))
}

// noteID sets p.idAhead. p has just been fetched, and replaces before.
func (p *Policy) noteID(before *Policy, seenID bool) {
	switch {
	case p.Text != before.Text:
	case p.ID != before.ID && !seenID:
		p.idAhead = p.Fetched
	default:
		p.idAhead = before.idAhead
	}
}

// reportRecord emits the event about a domain without a usable record, if there is to be one.
func (c *Client) reportRecord(known *Policy, failure *Error) {
	invalid := failure.Reason == ReasonRecordInvalid || failure.Reason == ReasonRecordsMany
	switch {
	case known.applies():
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
		return strings.Clone(record.ID), nil // it is a part of a record of up to 64 KiB
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
	// The error is cached, and may hold all that the host has sent, such as its certificates.
	// So only its text is kept.
	e := &Error{Domain: domain, Err: errors.New(printable(describe(err), 400))}
	if answer, ok := errors.AsType[*fetch.Error](err); ok && answer.Refused != "" {
		e.Result, e.Reason = ResultPolicyFetchError, ReasonNotAPolicyFile
		return e
	}
	result, reason := certcheck.ClassifyFetch(err, c.roots)
	e.Result, e.Reason = Result(result), reason
	c.checkAuthorities(e)
	return e
}
