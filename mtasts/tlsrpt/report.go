package tlsrpt

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/mtasts/go-mtasts/mtasts"
)

// A PolicyType is a policy-type of RFC 8460, Section 4.4.
type PolicyType string

// The policy types.
const (
	TypeTLSA          PolicyType = "tlsa"
	TypeSTS           PolicyType = "sts"
	TypeNoPolicyFound PolicyType = "no-policy-found"
)

// The result types of DANE (RFC 8460, Section 4.3.2.1). Package mtasts has the others.
const (
	ResultTLSAInvalid   mtasts.Result = "tlsa-invalid"
	ResultDNSSECInvalid mtasts.Result = "dnssec-invalid"
	ResultDANERequired  mtasts.Result = "dane-required"
)

// MediaTypeGzip is the media type of a compressed report (RFC 8460, Section 6.5).
const MediaTypeGzip = "application/tlsrpt+gzip"

// A Report is an aggregate report about one policy domain. It marshals to the JSON of RFC
// 8460, Section 4.4, in the form that every receiver reads: the five fields of the top
// level are always there, and what is empty below them is left out.
//
// Strings may hold anything. What I-JSON forbids is replaced by U+FFFD (RFC 7493, Section
// 2.1).
type Report struct {
	OrganizationName string         `json:"organization-name"`
	DateRange        DateRange      `json:"date-range"`
	ContactInfo      string         `json:"contact-info"` // mail address
	ReportID         string         `json:"report-id"`
	Policies         []PolicyReport `json:"policies"`
}

// A DateRange is the time that a report covers, usually a day from 00:00:00 to 23:59:59
// UTC (RFC 8460, Section 4.1). It is written in whole seconds of UTC. Years
// above 9999 cannot be marshalled.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// A PolicyReport counts the sessions under one policy.
type PolicyReport struct {
	Type PolicyType
	// Text is the policy-string: the lines of an MTA-STS policy as published, or one
	// string for each TLSA record (RFC 8460, Section 4.5).
	Text    []string
	Domain  string   // policy domain, as A-labels
	MXHosts []string // mx patterns of an MTA-STS policy

	Successes, Failures uint64 // sessions
	Details             []FailureDetail
}

// A FailureDetail counts the failures of one kind.
type FailureDetail struct {
	Result mtasts.Result `json:"result-type"`
	// SendingMTAIP is the address that the sessions came from. Some receivers refuse a
	// report without one. So the zero Addr, for a failure without a session, is written as
	// "::", which "indicates the absence of an address" (RFC 4291, Section 2.5.2).
	SendingMTAIP          netip.Addr `json:"sending-mta-ip"`
	ReceivingMX           string     `json:"receiving-mx-hostname,omitempty"`
	ReceivingHELO         string     `json:"receiving-mx-helo,omitempty"`
	ReceivingIP           netip.Addr `json:"receiving-ip,omitzero"`
	Count                 uint64     `json:"failed-session-count"`
	AdditionalInformation string     `json:"additional-information,omitempty"` // URI
	Reason                string     `json:"failure-reason-code,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	r.DateRange.Start = r.DateRange.Start.UTC().Truncate(time.Second)
	r.DateRange.End = r.DateRange.End.UTC().Truncate(time.Second)
	r.Policies = append([]PolicyReport{}, r.Policies...) // never null
	text, err := json.Marshal(plain(r))
	return bytes.Map(iJSON, text), err
}

// MarshalJSON implements [json.Marshaler].
func (p PolicyReport) MarshalJSON() ([]byte, error) {
	type policy struct {
		Type    PolicyType `json:"policy-type"`
		Text    []string   `json:"policy-string,omitempty"`
		Domain  string     `json:"policy-domain"`
		MXHosts []string   `json:"mx-host,omitempty"` // an array: erratum 6241
	}
	type summary struct {
		Successes uint64 `json:"total-successful-session-count"`
		Failures  uint64 `json:"total-failure-session-count"`
	}
	return json.Marshal(struct {
		Policy  policy          `json:"policy"`
		Summary summary         `json:"summary"`
		Details []FailureDetail `json:"failure-details,omitempty"`
	}{policy{p.Type, p.Text, p.Domain, p.MXHosts}, summary{p.Successes, p.Failures}, p.Details})
}

// MarshalJSON implements [json.Marshaler].
func (d FailureDetail) MarshalJSON() ([]byte, error) {
	type plain FailureDetail
	if !d.SendingMTAIP.IsValid() {
		d.SendingMTAIP = netip.IPv6Unspecified()
	}
	d.SendingMTAIP = d.SendingMTAIP.Unmap().WithZone("")
	d.ReceivingIP = d.ReceivingIP.Unmap().WithZone("")
	return json.Marshal(plain(d))
}

// iJSON replaces a noncharacter. Octets that are not UTF-8 are replaced by [json.Marshal].
func iJSON(r rune) rune {
	if r&0xfffe == 0xfffe || 0xfdd0 <= r && r <= 0xfdef {
		return utf8.RuneError
	}
	return r
}

// Gzip returns the report as compressed JSON, the body of a POST with the media type
// [MediaTypeGzip] (RFC 8460, Section 5.4).
func (r *Report) Gzip() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(text) // to memory, which does not fail
	w.Close()
	return b.Bytes(), nil
}

// Filename returns the name of the compressed report as a file (RFC 8460, Section 5.1):
// submitter!domain!start!end!id.json.gz. The submitter is the domain of ContactInfo, domain
// is the policy domain, and the id is the letters and digits of ReportID.
func (r *Report) Filename(submitter, domain string) string {
	id := notAlnum.ReplaceAllString(r.ReportID, "")
	return fmt.Sprintf("%s!%s!%d!%d!%s.json.gz", submitter, domain, r.DateRange.Start.Unix(), r.DateRange.End.Unix(), cmp.Or(id, "0"))
}

var notAlnum = regexp.MustCompile(`[^0-9A-Za-z]`)
