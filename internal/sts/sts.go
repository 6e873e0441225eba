// Package sts is RFC 8461 without the network. [FindRecord] selects and parses the
// TXT record. [ParsePolicy] parses a policy file. [Name] brings a host name into the
// one form in which names are compared, and [Match] compares an MX host with the
// patterns of a policy.
//
// All input is untrusted. The TXT record is parsed strictly, by an explicit MUST in
// Section 3.1. The policy file is parsed strictly in the values of version, mode and
// max_age, and leniently in all else: to reject a policy is to leave its domain
// without protection, which serves only an attacker.
//
// Nothing here panics, keeps state or does I/O. Every function may be called
// concurrently. Error texts hold at most a short, escaped excerpt of the input.
package sts

import (
	"errors"
	"strconv"
	"time"
)

// A Mode says what a sender does with an MX host that fails validation (RFC 8461,
// Sections 3.2 and 5). It is spelled as in the policy file.
type Mode string

// The modes of RFC 8461, Section 3.2.
const (
	Enforce Mode = "enforce"
	Testing Mode = "testing"
	None    Mode = "none"
)

const (
	// MaxPolicySize is the largest policy file that is accepted, in octets. RFC
	// 8461, Section 3.3 suggests this limit.
	MaxPolicySize = 64 << 10

	// MaxMaxAge is the longest lifetime of a policy, about a year (RFC 8461,
	// Section 3.2). A larger max_age is reduced to it.
	MaxMaxAge = 31557600 * time.Second

	// RecordLabel and PolicyLabel, put before a policy domain, give the name of
	// its TXT record (RFC 8461, Section 3.1) and its policy host (Section 3.3).
	RecordLabel = "_mta-sts."
	PolicyLabel = "mta-sts."
)

var (
	// ErrNoRecord means that no TXT record begins with "v=STSv1;". [FindRecord]
	// wraps it to quote a record that nearly does.
	ErrNoRecord = errors.New(`no TXT record begins with "v=STSv1;"`)

	// ErrManyRecords means that more than one TXT record begins with "v=STSv1;".
	// The domain then has no policy (RFC 8461, Section 3.1).
	ErrManyRecords = errors.New(`more than one TXT record begins with "v=STSv1;"; exactly one must`)

	// ErrLiteral means that the next hop is an address literal, for which no
	// policy can exist (RFC 8461, Section 3.4).
	ErrLiteral = errors.New("an address literal has no policy")
)

// A SyntaxError says what is wrong with a TXT record, a policy file or a name.
// Its text is printable ASCII of bounded length, whatever the input was.
type SyntaxError struct {
	Where  string // "TXT record", "policy" or "name"
	Reason string
	At     int // of a TXT record: the octet where it goes wrong, 0 also if that is not known
}

// Error returns Where and Reason.
func (e *SyntaxError) Error() string { return e.Where + ": " + e.Reason }

// quote escapes untrusted text for an error message, and bounds its length.
func quote(s string) string {
	const limit = 64
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
