// Package sts is RFC 8461 without the network: [ParsePolicy] reads a policy
// file, [FindRecord] picks and reads the TXT record, [Match] compares an MX
// host with the patterns of a policy, [Name] brings every name into the one
// form in which they are compared.
//
// All input comes from strangers. The TXT record is judged strictly, by an
// explicit MUST in Section 3.1. The policy file is judged strictly on the
// values of version, mode and max_age, and leniently on all else: a policy
// that we reject leaves its domain without protection, which serves the
// attacker and nobody else.
//
// Nothing here panics, keeps state or does I/O; every function may be called
// concurrently. Error texts hold at most a short, escaped piece of the input.
package sts

import (
	"errors"
	"strconv"
	"time"
)

// A Mode says what a sender does when an MX fails validation (RFC 8461,
// Section 3.2 and Section 5). It is spelled as in the policy file.
type Mode string

// The modes of RFC 8461, Section 3.2.
const (
	Enforce Mode = "enforce"
	Testing Mode = "testing"
	None    Mode = "none"
)

const (
	// MaxPolicySize is the largest policy file that is read, in octets: the
	// limit that RFC 8461, Section 3.3 suggests.
	MaxPolicySize = 64 << 10

	// MaxMaxAge is the longest life of a policy, about a year (RFC 8461,
	// Section 3.2). Longer ones are cut to it.
	MaxMaxAge = 31557600 * time.Second

	// RecordLabel and PolicyLabel, put before a policy domain, give the name of
	// its TXT record (RFC 8461, Section 3.1) and its policy host (Section 3.2).
	RecordLabel = "_mta-sts."
	PolicyLabel = "mta-sts."
)

var (
	// ErrNoRecord: no TXT record begins with "v=STSv1;". [FindRecord] wraps it to
	// name a record that nearly does.
	ErrNoRecord = errors.New(`no TXT record begins with "v=STSv1;"`)

	// ErrManyRecords: more than one TXT record begins with "v=STSv1;", which
	// counts as none (RFC 8461, Section 3.1).
	ErrManyRecords = errors.New(`more than one TXT record begins with "v=STSv1;"; exactly one must`)

	// ErrLiteral: the next hop is an address literal, for which no policy can
	// exist (RFC 8461, Section 3.4).
	ErrLiteral = errors.New("an address literal has no policy")
)

// A SyntaxError says what is wrong with a TXT record, a policy file or a name.
// Its text is printable ASCII of bounded length, whatever the input was.
type SyntaxError struct {
	Where  string // "TXT record", "policy", "name"
	Reason string
}

func (e *SyntaxError) Error() string { return e.Where + ": " + e.Reason }

// quote escapes a stranger's text for an error message, and bounds it.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
