package mtasts

import (
	"time"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// A Mode says what to do with an MX that fails validation (RFC 8461, Section 5).
type Mode string

const (
	// ModeEnforce: do not deliver to a host that fails.
	ModeEnforce = Mode(sts.Enforce)

	// ModeTesting: deliver, and report the failure.
	ModeTesting = Mode(sts.Testing)

	// ModeNone: there is no policy to apply, because the domain says so, or
	// because none could be found.
	ModeNone = Mode(sts.None)
)

// A Policy is the answer for one policy domain at one moment. It is a snapshot
// that many callers share: read it, never change it, and ask [Client.PolicyFor]
// again for the next message rather than keep it.
type Policy struct {
	// Mode is what the policy demands; [ModeNone] without a policy.
	Mode Mode

	// MX holds the mx patterns in lower case, in the order of the policy file.
	MX []string

	client *Client

	// Domain is the policy domain as a lower-case A-label without a final dot,
	// or the address literal that was asked about.
	Domain string

	// Override is what [Options].Override chose for this domain, empty if nothing.
	// Mode is then what the action makes of the published mode; Text is still what
	// was published.
	Override Action

	// ID is the id of the TXT record under which the policy was fetched.
	ID string

	// Fetched is when the policy file was fetched, Expires the last moment at
	// which it is valid: max_age later (RFC 8461, Section 3.2). Both are zero
	// without a policy.
	Fetched, Expires time.Time

	// Text is the policy file as it was fetched, up to 64 KiB of a publisher's
	// octets. A TLSRPT report quotes it.
	Text string

	// Cause is nil for a policy that was published. Otherwise it is an [*Error]
	// that says why there is none; with Temporary set, whether there is one
	// could not be found out. The default of RFC 8461 is to deliver (Section
	// 3.3); a strict sender may defer instead.
	Cause error

	// stamp and until are for a clock that is set: see succeed.
	stamp, until time.Time

	// idAhead is when a new id was seen over a file that had not changed, zero if that
	// was not so: see isDoubtful.
	idAhead time.Time
}

// newPolicy makes the Policy of a file that was fetched for domain under id.
func newPolicy(domain, id string, file *policyFile, fetched time.Time) *Policy {
	// Without its monotonic reading, a time follows the clock that also ruled
	// before a restart and while the machine slept.
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

// noPolicy is the answer for a domain without a policy.
func noPolicy(domain string, cause error) *Policy {
	return &Policy{Domain: domain, Mode: ModeNone, Cause: cause}
}

// speaks reports whether p demands anything. What happens to a policy of mode none
// is nobody's concern (RFC 8461, Sections 6 and 8.3).
func (p *Policy) speaks() bool { return p != nil && p.Mode != ModeNone }

// enforces reports whether p demands verified TLS. A Policy made by hand that has no mode
// is taken at its strictest.
func (p *Policy) enforces() bool { return p.Mode != ModeTesting && p.Mode != ModeNone }

// valid reports whether p may be applied: its time since fetch "has not
// exceeded" max_age (RFC 8461, Section 5.1), so the last instant counts. After
// the clock has been set back it stays valid, which fails closed.
func (p *Policy) valid(now time.Time) bool {
	return p != nil && p.Cause == nil && !now.After(p.Expires)
}

// lasts reports whether p is to be cached. With max_age 0 it is used once, and
// fetched again the next time (RFC 8461, Section 3.2).
func (p *Policy) lasts() bool { return p.Expires.After(p.Fetched) }
