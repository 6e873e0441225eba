package mtasts

import (
	"log/slog"
	"net/netip"
	"time"
)

// A Result is a result type of RFC 8460, Section 4.3, as it stands in a report.
// The empty Result is success, or that no type of the RFC fits.
type Result string

// The result types that this package gives. The first five are about a session
// with an MX (RFC 8460, Section 4.3.1), the others about the policy (Section
// 4.3.2.2).
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
	// EventSession: the outcome of one attempt to hand a message to an MX under
	// a policy in mode enforce or testing. Result is empty for success.
	EventSession EventKind = "session"

	// EventOpportunistic: the outcome of one attempt without a policy to apply, because
	// there is none, its mode is none, or an override exempts the domain. Result is empty
	// if there was a TLS session, verified or not.
	EventOpportunistic EventKind = "opportunistic"

	// EventPolicy: a domain publishes a TXT record, but not exactly one that is
	// valid, or no usable policy file; or the live policy of a domain with a cached one
	// cannot be had (RFC 8461, Section 6). Policy is the cached one, if there is one.
	EventPolicy EventKind = "policy"

	// EventRefresh: [Client.Run] could not fetch a policy again, or could after it
	// had failed: then Result is empty. Failures, Since and Severity are set, and
	// the time that is left is until Policy.Expires. There is none for a policy of
	// mode none (RFC 8461, Section 10.2).
	EventRefresh EventKind = "refresh"

	// EventChange: a policy has taken the place of a cached one in a way that
	// somebody should know of. Policy is the new one, Previous the old one, and Reason
	// says what: [ReasonEnforcementEnded], [ReasonPatternsAdded], [ReasonSameIDOther]
	// or [ReasonNewIDSame].
	EventChange EventKind = "change"

	// EventEvicted: an entry was removed from the store, because it is above
	// [Options].Quota, before it has expired.
	EventEvicted EventKind = "evicted"

	// EventStore: the store could not be read or written, or has no room. What was
	// to be written is kept in memory and tried again. Where Err is nil, the store has
	// recovered: Reason is "store-readable" or "store-writable".
	EventStore EventKind = "store"

	// EventSystem: this machine is at fault, and no publisher or MX host: Reason is
	// [ReasonNoAuthorities]. It is reported once for a Client.
	EventSystem EventKind = "system"
)

// An Event is something that an operator or the author of a policy wants to
// hear of; the outcomes of sessions are the raw material of TLSRPT (RFC 8460). To
// write one down, choose the fields: Policy and Err do not marshal by themselves.
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

	// Previous is the policy that Policy takes the place of, for EventChange.
	Previous *Policy

	// Result, Reason and Err are those of an [*Error]. Err is nil for success.
	Result Result
	Reason string
	Err    error

	// Failures counts the refreshes that have failed one after the other, Since is
	// when the first of them did, and Severity rises with the share of the policy's
	// life that has gone by: Info, from 50 % Warn, from 75 % Error, and Error+4 from
	// 90 %. For EventRefresh.
	Failures int
	Since    time.Time
	Severity slog.Level
}

// emit hands an event to Options.Report.
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

// emitError is emit for a failure.
func (c *Client) emitError(kind EventKind, p *Policy, err *Error) {
	c.emit(Event{Kind: kind, Domain: err.Domain, Policy: p, MX: err.MX,
		Result: err.Result, Reason: err.Reason, Err: err})
}
