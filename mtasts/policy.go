package mtasts

import (
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// A Mode says what to do with an MX host that fails validation (RFC 8461, Section 5).
type Mode string

const (
	// ModeEnforce: do not deliver to a host that fails.
	ModeEnforce = Mode(sts.Enforce)

	// ModeTesting: deliver, and report the failure.
	ModeTesting = Mode(sts.Testing)

	// ModeNone: no policy applies. The domain says so, or has no usable policy.
	ModeNone = Mode(sts.None)
)

// A Policy is the answer for one policy domain at one moment. Callers share it: do not
// change it. Do not keep it either: ask [Client.PolicyFor] for each message.
type Policy struct {
	// Mode is the mode of the policy, [ModeNone] without one.
	Mode Mode

	// MX holds the mx patterns in lower case, in the order of the policy file.
	MX []string

	// Domain is the policy domain as a lower-case A-label without a final dot, or the
	// address literal that PolicyFor was called with.
	Domain string

	// Override is what [Options].Override chose for this domain, empty if nothing. Mode
	// is then what the Action makes of the published mode. Text stays as published.
	Override Action

	// ID is the id of the TXT record under which the policy was fetched.
	ID string

	// Fetched is when the policy file was fetched. Expires is max_age later, and the last
	// moment at which the policy is valid (RFC 8461, Section 3.2). Both are zero without
	// a policy.
	Fetched, Expires time.Time

	// Text is the policy file as it was fetched: up to 64 KiB of untrusted octets. A
	// TLSRPT report quotes it.
	Text string

	// Cause is nil for a published policy. Otherwise it is an [*Error] that says why there
	// is none. If it is Temporary, the domain may have one: the DNS gave no answer. RFC
	// 8461, Section 3.3, says to deliver then. A strict sender may defer.
	Cause error

	client *Client // nil for a literal

	// stamp and until serve when the clock is set: see succeed.
	stamp, until time.Time

	// idAhead is when a new id came with an unchanged file, or zero: see mayBeStale.
	idAhead time.Time
}

// newPolicy returns the Policy of a file that was fetched for domain under id.
func newPolicy(domain, id string, file *policyFile, fetched time.Time) *Policy {
	// Without the monotonic reading: it stands still while the machine sleeps.
	fetched = fetched.UTC().Round(0)
	return &Policy{
		Domain:  domain,
		Mode:    Mode(file.Mode),
		ID:      id,
		MX:      file.MX,
		Fetched: fetched,
		Expires: fetched.Add(file.MaxAge),
		Text:    file.text,
		stamp:   fetched,
	}
}

// noPolicy returns the answer for a domain without a policy.
func noPolicy(domain string, cause error) *Policy {
	return &Policy{Domain: domain, Mode: ModeNone, Cause: cause}
}

// speaks reports whether p exists and is not of mode none. Failures to fetch a policy of
// mode none are not reported (RFC 8461, Sections 6 and 8.3).
func (p *Policy) speaks() bool { return p != nil && p.Mode != ModeNone }

// enforces reports whether p requires verified TLS. So does a literal without a mode.
func (p *Policy) enforces() bool { return p.Mode != ModeTesting && p.Mode != ModeNone }

// valid reports whether p may be applied: the time since its fetch "has not exceeded"
// max_age (RFC 8461, Section 5.1). If the clock was set back, p stays valid, which fails
// closed.
func (p *Policy) valid(now time.Time) bool {
	return p != nil && p.Cause == nil && !now.After(p.Expires)
}

// lasts reports whether p is to be cached. A policy with max_age 0 is used once (RFC 8461,
// Section 3.2).
func (p *Policy) lasts() bool { return p.Expires.After(p.Fetched) }
