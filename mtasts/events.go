package mtasts

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// A Result is a result type of RFC 8460, Section 4.3, as a TLSRPT report has it. The empty
// Result means success, or a failure that has no result type.
type Result string

// The result types that this package gives: first those of a session with an MX host (RFC
// 8460, Section 4.3.1), then those of a policy (Section 4.3.2.2).
const (
	ResultSTARTTLSNotSupported    Result = "starttls-not-supported"
	ResultCertificateHostMismatch Result = "certificate-host-mismatch"
	ResultCertificateExpired      Result = "certificate-expired"
	ResultCertificateNotTrusted   Result = "certificate-not-trusted"
	ResultValidationFailure       Result = "validation-failure"

	ResultPolicyFetchError Result = "sts-policy-fetch-error"
	ResultPolicyInvalid    Result = "sts-policy-invalid"
	ResultWebPKIInvalid    Result = "sts-webpki-invalid"
)

// An EventKind says what an [Event] is about.
type EventKind string

const (
	// EventSession: the outcome of one attempt to deliver to an MX host under mode
	// enforce or testing. Result is empty for success.
	EventSession EventKind = "session"

	// EventOpportunistic: the outcome of one attempt without a policy to apply. There is
	// none, its mode is none, or an override exempts the domain. Result is empty if there
	// was a TLS session, verified or not.
	EventOpportunistic EventKind = "opportunistic"

	// EventPolicy: a check could not get the policy of a domain. If none is cached, that is
	// because the TXT record is invalid or not the only one, or because the policy file is
	// invalid or could not be fetched. If one is cached, Policy is that one, and any reason
	// counts, also a missing record (RFC 8461, Section 6). A cached policy of mode none
	// causes no such event.
	EventPolicy EventKind = "policy"

	// EventRefresh: [Client.Run] could not refresh a policy. Failures, Since and Severity are
	// set. The domain loses its protection at Policy.Expires (RFC 8461, Section 10.2). If Err
	// is nil, the policy has been fetched again after such failures. There is no such event
	// for mode none.
	EventRefresh EventKind = "refresh"

	// EventChange: a new policy has replaced a cached one in a way worth knowing. Policy
	// is the new one, and Previous the old one. Reason is [ReasonEnforcementEnded],
	// [ReasonPatternsAdded], [ReasonSameIDOther] or [ReasonNewIDSame].
	EventChange EventKind = "change"

	// EventEvicted: a policy was evicted before it expired. With [ReasonStoreFull] the
	// store was above [Options].Quota. With [ReasonStoreUnwritable] too many policies were
	// waiting to be written.
	EventEvicted EventKind = "evicted"

	// EventStore: the store could not be read or written, or is full. An unwritten policy
	// stays in memory, and the write is repeated. If Err is nil, the store has recovered:
	// Reason is [ReasonStoreReadable] or [ReasonStoreWritable].
	EventStore EventKind = "store"

	// EventSystem: this machine is at fault. Reason is [ReasonNoAuthorities]. A Client
	// reports it once.
	EventSystem EventKind = "system"
)

// An Event is something that an operator or the publisher of a policy wants to know. Events
// about sessions are what TLSRPT reports are made of (RFC 8460). To marshal an Event, choose
// its fields: Policy and Err do not marshal.
type Event struct {
	Kind   EventKind
	Time   time.Time
	Domain string // policy domain
	Policy *Policy
	MX     string // MX host, for EventSession and EventOpportunistic

	// Local, Remote and HELO are what [Host.Connection] was told. HELO is text from the
	// network.
	Local, Remote netip.Addr
	HELO          string

	// Previous is the policy that Policy has replaced, for EventChange.
	Previous *Policy

	// Result, Reason and Err are those of an [*Error]. Err is nil for success.
	Result Result
	Reason string
	Err    error

	// Failures, Since and Severity are for EventRefresh. Failures counts the refreshes
	// that failed in a row, and Since is when the first of them did. Severity rises as
	// the policy nears its end: Info, from 50 % of its life Warn, from 75 % Error, and
	// from 90 % Error+4.
	Failures int
	Since    time.Time
	Severity slog.Level
}

// emit passes an event to Options.Report.
func (c *Client) emit(e Event) {
	if c == nil || c.report == nil {
		return
	}
	e.Time = time.Now()
	if e.Policy != nil && e.Policy.Override == "" {
		e.Policy = c.overridden(e.Policy)
	}
	c.stats.events.Add(1)
	c.report(e)
}

// emitError passes an event about a failure to Options.Report.
func (c *Client) emitError(kind EventKind, p *Policy, err *Error) {
	c.emit(Event{Kind: kind, Domain: err.Domain, Policy: p, MX: err.MX,
		Result: err.Result, Reason: err.Reason, Err: err})
}

// emitChanges emits the events about now, a fetched policy that has replaced was. seenID means
// that its id was seen before: then name servers disagree, which is reported once.
func (c *Client) emitChanges(was, now *Policy, seenID bool) {
	change := func(reason string) {
		c.emit(Event{Kind: EventChange, Domain: now.Domain, Policy: now, Previous: was, Reason: reason})
	}
	if was.Mode == ModeEnforce && now.Mode != ModeEnforce {
		change(ReasonEnforcementEnded)
	}
	if was.applies() && now.applies() && widened(was.MX, now.MX) {
		change(ReasonPatternsAdded)
	}
	switch same := was.Text == now.Text; {
	case was.ID == now.ID && !same:
		change(ReasonSameIDOther)
	case was.ID != now.ID && same && !seenID:
		change(ReasonNewIDSame)
	}
}

// widened reports whether now has all patterns of was and more. A publisher that moves to other
// hosts removes some patterns.
func widened(was, now []string) bool { return has(now, was) && !has(was, now) }

// has reports whether all contains each of some. It takes a map because a policy may have
// thousands of patterns.
func has(all, some []string) bool {
	known := make(map[string]bool, len(all))
	for _, mx := range all {
		known[mx] = true
	}
	return !slices.ContainsFunc(some, func(mx string) bool { return !known[mx] })
}
