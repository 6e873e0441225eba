package tlsrpt

import (
	"strings"
	"time"
)

const (
	// maxEntry bounds what is kept about a domain and a day, in octets: a store takes 70 KiB.
	// maxMemory bounds all entries in memory together.
	maxEntry  = 60 << 10
	maxMemory = 256 << 20

	// These are the octets that each takes in memory without its strings. In the store it
	// takes less.
	entryCost, policyCost, detailCost = 300, 120, 200
)

// An entry is what is known about one domain and one day of UTC. The exported fields are
// stored.
type entry struct {
	Domain   string
	Day      int64 // since 1970
	Size     int   // of which maxEntry is the bound
	Policies []policy
	Next     time.Time // when to send the report, or to try again
	Sending  *sending  // nil until then

	changed bool // since it was written
}

// A policy counts the sessions under one policy.
type policy struct {
	Type                PolicyType
	Domain, Text        string
	Successes, Failures uint64
	Details             []FailureDetail
}

// entry returns the entry to count in. It is nil if there is no room, if the report is being
// sent, or after Close. The lock is held.
func (c *Collector) entry(day int64, domain string) *entry {
	e := c.days[day][domain]
	switch {
	case c.closed || e != nil && e.Sending != nil:
		return nil
	case e != nil:
		return e
	}
	e = &entry{Domain: strings.Clone(domain), Day: day, Next: c.dueAt(day, domain)}
	if !c.fits(e, entryCost+len(domain)) {
		return nil
	}
	c.put(e)
	return e
}

// put makes e the entry of its domain and day. The lock is held.
func (c *Collector) put(e *entry) {
	if c.days[e.Day] == nil {
		c.days[e.Day] = make(map[string]*entry)
	}
	c.days[e.Day][e.Domain] = e
}

// fits reports whether e has room for more, and takes it if so. The lock is held.
func (c *Collector) fits(e *entry, octets int) bool {
	if e.Size+octets > maxEntry || c.stats.Memory+octets > maxMemory {
		return false
	}
	e.Size += octets
	c.stats.Memory += octets
	return true
}

// policy returns where to count. Without room, policies of one type are counted together,
// without their text. The lock is held.
func (c *Collector) policy(e *entry, typ PolicyType, domain, text string) *policy {
	for i := range e.Policies {
		if p := &e.Policies[i]; p.Type == typ && p.Text == text && p.Domain == domain {
			return p
		}
	}
	if bare := text == "" && domain == e.Domain; !bare && !c.fits(e, policyCost+len(domain)+len(text)) {
		return c.policy(e, typ, e.Domain, "")
	}
	e.Policies = append(e.Policies, policy{Type: typ, Domain: strings.Clone(domain), Text: text})
	return &e.Policies[len(e.Policies)-1]
}

// countFailure counts a failure of the kind of d. The addresses belong to the kind: a count
// that mixed them would blame one address for another. Without room, the sum alone has the
// failure. The lock is held.
func (c *Collector) countFailure(e *entry, p *policy, d FailureDetail) {
	if p.known(&d) {
		return
	}
	d.SendingMTAIP, d.ReceivingIP = d.SendingMTAIP.Unmap().WithZone(""), d.ReceivingIP.Unmap().WithZone("")
	d.ReceivingMX, d.ReceivingHELO, d.Reason = plain(d.ReceivingMX), plain(d.ReceivingHELO), plain(d.Reason)
	if p.known(&d) || !c.fits(e, detailCost+len(d.ReceivingMX)+len(d.ReceivingHELO)+len(d.Reason)) {
		return
	}
	d.Count = 1
	p.Details = append(p.Details, d)
}

// known counts a failure if there has been one of its kind before. Otherwise it reports false.
func (p *policy) known(d *FailureDetail) bool {
	for i := range p.Details {
		known := &p.Details[i]
		if d.Count = known.Count; *d == *known {
			known.Count++
			return true
		}
	}
	return false
}

// report is the report about e. RFC 8460, Section 4.1: it covers a full day.
func (c *Collector) report(e *entry) *Report {
	start := startOf(e.Day)
	r := &Report{OrganizationName: c.opts.Organization, ContactInfo: c.opts.Contact, ReportID: e.Sending.ID,
		DateRange: DateRange{start, start.Add(24*time.Hour - time.Second)}}
	for _, p := range e.Policies {
		r.Policies = append(r.Policies, PolicyReport{Type: p.Type, Text: lines(p.Text), Domain: p.Domain,
			MXHosts: patterns(p.Text), Successes: p.Successes, Failures: p.Failures, Details: p.Details})
	}
	return r
}
