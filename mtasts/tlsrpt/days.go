package tlsrpt

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// maxEntry bounds, in octets, what is kept about a domain and a day. It leaves room in the
// 70 KiB that a store takes for a value.
const maxEntry = 60 << 10

// An entry is what is known about one domain and one day of UTC. What is exported is stored.
type entry struct {
	Domain   string
	Policies []*policy
	Sending  sending

	day   int64  // since 1970
	key   string // in the store
	size  int    // of what maxEntry bounds
	keys  int    // of what maxKeys bounds
	dirty bool   // to be written
}

// A policy counts the sessions under one policy.
type policy struct {
	Type                PolicyType
	Domain, Text        string
	Successes, Failures uint64
	Details             map[detail]uint64
}

// A detail is one kind of failure. The addresses belong to it: a count that mixed them
// would blame one address for another.
type detail struct {
	Result           mtasts.Result
	MX, HELO, Reason string
	Local, Remote    netip.Addr
}

// A room says whether n more keys may be kept, and notes them if so.
type room func(n int) bool

func unbounded(int) bool { return true }

// fits says whether there is room for octets and keys, and notes them if so.
func (e *entry) fits(octets, keys int, more room) bool {
	if e.size+octets > maxEntry || !more(keys) {
		return false
	}
	e.size, e.keys = e.size+octets, e.keys+keys
	return true
}

// count counts a session, or the failure of a policy alone.
func (e *entry) count(o *Outcome, session bool, more room) {
	p := e.policy(o.Type, o.PolicyDomain, o.Policy, more)
	switch {
	case session && o.Result == "":
		p.Successes++
	case session:
		p.Failures++
	}
	if o.Result != "" {
		e.countFailures(p, detail{o.Result, o.MX, o.HELO, o.Reason, o.Local, o.Remote}, 1, more)
	}
}

// policy returns where to count. Where there is no room, policies cannot be told apart.
func (e *entry) policy(typ PolicyType, domain, text string, more room) *policy {
	for _, p := range e.Policies {
		if p.Type == typ && p.Text == text && p.Domain == domain {
			return p
		}
	}
	plain := text == "" && domain == e.Domain
	if !plain && !e.fits(len(text)+len(domain)+60, 1+len(text)>>10, more) {
		return e.policy(typ, e.Domain, "", more)
	}
	if domain == e.Domain {
		domain = e.Domain // the same octets
	}
	p := &policy{Type: typ, Domain: strings.Clone(domain), Text: text}
	e.Policies = append(e.Policies, p)
	return p
}

// countFailures counts n failures of one kind. Where there is no room, only their result is kept.
func (e *entry) countFailures(p *policy, d detail, n uint64, more room) {
	if _, known := p.Details[d]; !known {
		d.MX, d.HELO, d.Reason = plain(d.MX), plain(d.HELO), plain(d.Reason)
		if _, known = p.Details[d]; !known && !e.fits(len(d.MX)+len(d.HELO)+len(d.Reason)+100, 1, more) {
			d = detail{Result: d.Result}
		}
	}
	if p.Details == nil {
		p.Details = make(map[detail]uint64)
	}
	p.Details[d] += n
}

// add adds what other has counted.
func (e *entry) add(other *entry) {
	for _, from := range other.Policies {
		p := e.policy(from.Type, from.Domain, from.Text, unbounded)
		p.Successes += from.Successes
		p.Failures += from.Failures
		for d, n := range from.Details {
			e.countFailures(p, d, n, unbounded)
		}
	}
}

// sessions is how many sessions e has counted.
func (e *entry) sessions() (n uint64) {
	for _, p := range e.Policies {
		n += p.Successes + p.Failures
	}
	return n
}

// report is the report about e. RFC 8460, Section 4.1: it covers a full day.
func (e *entry) report(organization, contact string) *Report {
	start := startOf(e.day)
	r := &Report{OrganizationName: organization, ContactInfo: contact, ReportID: e.Sending.ID,
		DateRange: DateRange{start, start.Add(24*time.Hour - time.Second)}}
	for _, p := range e.Policies {
		report := PolicyReport{Type: p.Type, Text: lines(p.Text), Domain: p.Domain, Successes: p.Successes, Failures: p.Failures}
		if p.Type == TypeSTS {
			report.MXHosts = patterns(p.Text)
		}
		for d, n := range p.Details {
			report.Details = append(report.Details, FailureDetail{Result: d.Result, SendingMTAIP: d.Local,
				ReceivingMX: d.MX, ReceivingHELO: d.HELO, ReceivingIP: d.Remote, Count: n, Reason: d.Reason})
		}
		slices.SortFunc(report.Details, func(a, b FailureDetail) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		r.Policies = append(r.Policies, report)
	}
	return r
}
