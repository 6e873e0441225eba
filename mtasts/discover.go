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

// lookupLimit ends a TXT look-up whose resolver has no limit of its own.
const lookupLimit = 20 * time.Second

// A finding is what a check of a domain has brought to light.
type finding struct {
	learnt *Policy // newly fetched
	seenID bool    // its id is one of the last that were seen
	kept   *Policy // cached and valid, if nothing was learnt
	cause  *Error  // why there is neither, or why kept could not be confirmed

	failed  *Error // why the fetch failed, if one was due
	blocked bool   // it was not tried, because it has failed a moment ago

	// doubt is set when the check could not be completed: the DNS gave no
	// answer, or an id was seen whose policy could not be had.
	doubt *Error
}

// discover finds out whether domain publishes another policy than the one in e, and
// fetches it if so (RFC 8461, Section 5.1, steps 1 and 3; Section 3).
//
// The record comes first, and then the address of the policy host. To ask for both at
// once would save a round trip, of five, at the first message to a domain that has a
// policy. But most domains have none: for each of them it would be three queries
// instead of one, two of which are for a name that nobody has announced. Where a policy
// is cached, nobody waits for the check, or the record nearly always has the same id
// and no address is needed. The file, at any rate, must come after the record: an older
// one would be cached under an id that is not its own (Section 8.1).
func (c *Client) discover(domain string, e *cacheEntry, l *lookup) finding {
	due := e.isDue()
	c.stats.discoveries.Add(1)
	id, failure := c.lookupID(domain)
	if c.ctx.Err() != nil {
		return finding{cause: closedError(domain)}
	}
	known := e.valid(time.Now()) // now, for the look-up takes its time
	refresh := l.job != nil
	fetchAnyway := known != nil && (refresh || known.isDoubtful(time.Now(), l.recheck, due))
	if failure != nil && fetchAnyway && (refresh || !failure.Temporary) {
		// Section 10.2: "regardless of the state of the TXT record".
		id, failure = known.ID, nil
	}
	if failure != nil {
		c.reportRecord(known, failure)
		found := finding{kept: known, cause: failure}
		if failure.Temporary {
			found.doubt = failure
		}
		return found
	}
	if known != nil && known.ID == id && !fetchAnyway {
		// The record is not authenticated, so it confirms nothing: the policy
		// lives as long as it did before.
		return finding{kept: known}
	}
	switch last, recent := e.recentFetch(id, c.since()); {
	case recent && last.failure != nil:
		c.stats.backoffs.Add(1)
		return finding{kept: known, cause: last.failure, doubt: last.failure, failed: last.failure, blocked: true}
	case recent && known != nil && !fetchAnyway && !l.recheck:
		// Two name servers that disagree give two ids in turn.
		return finding{kept: known}
	}

	if !refresh { // Run has places of its own for its fetches
		select {
		case c.fetches <- struct{}{}:
			defer func() { <-c.fetches }()
		case <-l.hurry:
		case <-c.ctx.Done():
			return finding{cause: closedError(domain)}
		}
	}
	seenID := e.hasFetched(id) || known != nil && known.ID == id
	learnt, failure := c.fetchPolicy(domain, id)
	if c.ctx.Err() != nil {
		return finding{cause: closedError(domain)}
	}
	e.noteFetch(fetchAttempt{id: id, at: c.since(), failure: failure})
	if failure == nil {
		c.stats.fetchesOK.Add(1)
		return finding{learnt: learnt, seenID: seenID}
	}
	c.stats.fetchesFailed.Add(1)
	known = e.valid(time.Now())
	if known == nil || known.speaks() {
		c.emitError(EventPolicy, known, failure)
	}
	return finding{kept: known, cause: failure, doubt: failure, failed: failure}
}

// isDoubtful reports whether the file is to be fetched again although the record may have
// the id of p: because the clock was wrong when p was fetched; because somebody wants to
// know before a message fails for good; or because p came under a new id that promised
// another file, which a cache in front of the policy host may have held back (RFC 8461,
// Section 8.1).
func (p *Policy) isDoubtful(now time.Time, recheck, due bool) bool {
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

// noteID notes whether p, which takes the place of before, came under a new id with the
// file of the old one.
func (p *Policy) noteID(before *Policy, seenID bool) {
	switch {
	case p.Text != before.Text:
	case p.ID != before.ID && !seenID:
		p.idAhead = p.Fetched
	default:
		p.idAhead = before.idAhead
	}
}

// reportRecord reports why no id could be had, if that is the publisher's concern.
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

// lookupID returns the id of the domain's TXT record. The error is Temporary if
// the DNS did not tell whether there is one.
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
		return strings.Clone(record.ID), nil // and let go of a record of up to 64 KiB
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
	// The error itself may hold on to all that the host has sent, its certificates
	// above all, and is cached; its text will do.
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
