package tlsrpt

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/mtasts"
)

// An Outcome is how one attempt to reach an MX host ended under one policy. Those that
// [mtasts] knows need none: [Collector.Report] takes them as events.
type Outcome struct {
	// Domain is the domain whose receivers get the report, in general the recipient
	// domain. PolicyDomain is where the policy was found, for DANE the TLSA base domain;
	// empty if it is Domain.
	Domain, PolicyDomain string

	// Type is the type of the policy, and Policy its text: the policy file as published,
	// or the TLSA records in presentation form, each on a line (RFC 8460, Section 4.5).
	Type   PolicyType
	Policy string

	// MX is the host name from the MX record, HELO the name by which the host greets.
	// The zero address is unknown.
	MX, HELO      string
	Local, Remote netip.Addr

	// Result is a result type of RFC 8460, Section 4.3, empty for success. Reason is a
	// failure-reason-code.
	Result mtasts.Result
	Reason string

	noSession bool // but the failure of a policy alone: it is among the details, not in the sums
}

// results are the result types of RFC 8460, Section 4.3, in the order of its registry.
var results = [...]mtasts.Result{
	mtasts.ResultSTARTTLSNotSupported, mtasts.ResultCertificateHostMismatch, mtasts.ResultCertificateExpired,
	mtasts.ResultCertificateNotTrusted, mtasts.ResultValidationFailure,
	ResultTLSAInvalid, ResultDNSSECInvalid, ResultDANERequired,
	mtasts.ResultPolicyFetchError, mtasts.ResultPolicyInvalid, mtasts.ResultWebPKIInvalid,
}

// check brings the domains of o into the form in which they are compared, and says what
// is wrong with o.
func (o *Outcome) check() (err error) {
	if o.Domain, err = sts.PolicyDomain(o.Domain); err != nil {
		return fmt.Errorf("tlsrpt: Outcome.Domain: %w", err)
	}
	if o.PolicyDomain == "" {
		o.PolicyDomain = o.Domain
	} else if o.PolicyDomain, err = sts.Name(o.PolicyDomain); err != nil {
		return fmt.Errorf("tlsrpt: Outcome.PolicyDomain: %w", err)
	}
	switch {
	case o.Type != TypeTLSA && o.Type != TypeSTS && o.Type != TypeNoPolicyFound:
		return fmt.Errorf("tlsrpt: Outcome.Type: %.60q is no policy type of RFC 8460", o.Type)
	case len(o.Policy) > sts.MaxPolicySize:
		return fmt.Errorf("tlsrpt: Outcome.Policy: longer than %d octets", sts.MaxPolicySize)
	case o.Result != "" && !slices.Contains(results[:], o.Result):
		return fmt.Errorf("tlsrpt: Outcome.Result: %.60q is no result type of RFC 8460", o.Result)
	}
	return nil
}

// outcomeOf returns what a report says about an event; ok is false if that is nothing.
func outcomeOf(e *mtasts.Event) (o Outcome, ok bool) {
	if e.Policy == nil {
		return o, false
	}
	o = Outcome{Domain: e.Domain, PolicyDomain: e.Domain, Type: TypeSTS, MX: e.MX, HELO: e.HELO,
		Local: e.Local, Remote: e.Remote, Result: e.Result, Reason: e.Reason}
	switch e.Kind {
	case mtasts.EventSession:
		o.Policy = e.Policy.Text
	case mtasts.EventOpportunistic:
		// A policy that is published and cannot be had is no absence of a policy. RFC
		// 8460, Section 4.3.2.2 has results for it.
		cause, _ := errors.AsType[*mtasts.Error](e.Policy.Cause)
		if cause != nil && isPolicyFailure(cause.Result) {
			o.Result, o.Reason = cause.Result, cause.Reason
		} else {
			o.Type = TypeNoPolicyFound
		}
	case mtasts.EventPolicy:
		// RFC 8461, Section 6: reported "when a valid policy exists in the policy cache".
		// Without one, the attempts say so.
		if !isPolicyFailure(e.Result) {
			return o, false
		}
		o.Policy, o.noSession = e.Policy.Text, true
	default:
		return o, false
	}
	if o.Result != "" && !slices.Contains(results[:], o.Result) { // of an Event made by hand
		o.Result = mtasts.ResultValidationFailure
	}
	return o, true
}

func isPolicyFailure(r mtasts.Result) bool { return strings.HasPrefix(string(r), "sts-") }

// lines are the lines of a policy without their ends.
func lines(text string) (list []string) {
	for line := range strings.Lines(text) {
		list = append(list, strings.TrimRight(line, "\r\n"))
	}
	return list
}

// patterns are the mx patterns of an MTA-STS policy.
func patterns(text string) []string {
	p, _ := sts.ParsePolicy(text) // no patterns if it fails
	return p.MX
}

// plain is text from the network in printable ASCII, short enough to be kept. It is a copy
// that keeps nothing else in memory.
func plain(s string) string {
	const most = 255 // RFC 5321, Section 4.5.3.1.2: the longest domain
	return strings.Clone(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), most)]))
}
