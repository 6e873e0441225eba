package diagnose

import (
	"errors"
	"slices"

	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/mtasts"
)

// A Verdict is what a sender does with mail for the domain now.
type Verdict struct {
	Status Status `json:"status"`

	// Mode is that of the policy which mtasts.Client.PolicyFor answers with.
	Mode mtasts.Mode `json:"mode"`

	// Source is where the policy comes from: "published", "cached" (in the cache that
	// Options.Cached is from, and what is published could not be had), or "" without one.
	Source string `json:"source"`

	// Delivery is what becomes of a message: Hold if no MX host may take it, Deliver if
	// one may, and Untested if that depends on a TLS session that nobody has tried. It is
	// empty if the MX hosts are not known or the domain takes no mail.
	Delivery Decision `json:"delivery"`

	// Result and Reason are those of the Cause of PolicyFor's answer, for a domain
	// without a policy. Temporary means that whether there is one could not be found out.
	Result    string `json:"result"`
	Reason    string `json:"reason"`
	Temporary bool   `json:"temporary"`

	Title string `json:"title"` // one line
	Text  string `json:"text"`  // a sentence or two
}

// A Status is the verdict in one word, for an exit status or a table.
type Status string

// The statuses of a verdict.
const (
	Fine        Status = "fine"           // nothing to mend; there may be notices, and no policy is no fault
	HasFindings Status = "findings"       // of severity Error or Warning
	Undecided   Status = "could-not-tell" // no error or warning, and something could not be found out
)

// decide finds the policy that a sender applies, as [mtasts.Client.PolicyFor] does (RFC
// 8461, Section 5.1).
func (d *diagnosis) decide() {
	v := &d.r.Verdict
	v.Mode = mtasts.ModeNone
	_, malformed := errors.AsType[*sts.SyntaxError](d.recordErr)
	switch err := d.recordErr; {
	case errors.Is(err, sts.ErrNoRecord):
		v.Reason = mtasts.ReasonNoRecord
	case errors.Is(err, sts.ErrManyRecords):
		v.Reason = mtasts.ReasonRecordsMany
	case malformed:
		v.Reason = mtasts.ReasonRecordInvalid
	case err != nil:
		v.Reason, v.Temporary = mtasts.ReasonDNSFailure, true
	case d.failed != nil:
		v.Result, v.Reason = d.r.PolicyHost.Result, d.r.PolicyHost.Reason
	case d.fileErr != nil:
		v.Result, v.Reason = string(mtasts.ResultPolicyInvalid), mtasts.ReasonPolicyInvalid
	default:
		v.Mode, v.Source = mtasts.Mode(d.policy.Mode), "published"
	}
	d.applied = &mtasts.Policy{Domain: d.r.Domain, Mode: v.Mode, MX: d.policy.MX}
	if v.Source != "" {
		return
	}
	// RFC 8461, Section 3.3: what is cached and valid MUST be applied in that case.
	if p := d.cached(); p != nil {
		v.Mode, v.Source = p.Mode, "cached"
		d.applied = &mtasts.Policy{Domain: d.r.Domain, Mode: v.Mode, MX: p.MX}
	}
}

// cached returns the policy that the sender has cached, nil without a valid one.
func (d *diagnosis) cached() *mtasts.Policy {
	c := d.opts.Cached
	if c == nil || c.Policy == nil || c.Policy.Cause != nil || d.r.Time.After(c.Policy.Expires) {
		return nil
	}
	return c.Policy
}

func (d *diagnosis) enforced() bool { return d.applied.Mode == mtasts.ModeEnforce }

// conclude puts the whole into a verdict and its steps.
func (d *diagnosis) conclude() {
	v := &d.r.Verdict
	v.Status = Fine
	for _, f := range d.r.Findings {
		switch {
		case f.Severity == Error || f.Severity == Warning:
			v.Status = HasFindings
		case f.Severity == CouldNotTell && v.Status == Fine:
			v.Status = Undecided
		}
	}
	v.Title, v.Text = d.summary()
	d.r.Steps = d.steps()
}

// summary is the verdict in words.
func (d *diagnosis) summary() (title, text string) {
	v, domain := &d.r.Verdict, d.r.Domain
	cached := ""
	if v.Source == "cached" {
		cached = " The policy is the cached one, because what is published cannot be had."
	}
	if d.nullMX {
		return "The domain takes no mail", domain + " has a null MX record, so that there is no mail to protect."
	}
	if d.noMX && d.mxErr == nil && len(d.r.MX) == 0 {
		return "The domain takes no mail", domain + " has neither an MX record nor an address."
	}
	if slices.ContainsFunc(d.r.MX, func(mx MX) bool { return mx.Decision == Hold }) {
		cached = " Not every MX host satisfies it." + cached
	}
	switch {
	case d.domainErr != nil:
		return "No policy can apply", "A policy belongs to a domain, and this is none."
	case v.Temporary && v.Source == "":
		return "Not known", "Whether " + domain + " has a policy could not be found out. A sender without a cached policy delivers as if there were none."
	case v.Mode == mtasts.ModeEnforce && v.Delivery == Hold:
		return "Mail is held back", "The policy of " + domain + " is enforced, and no MX host satisfies it."
	case v.Mode == mtasts.ModeEnforce && v.Delivery == Deliver:
		return "Mail is protected", "The policy of " + domain + " is enforced, and mail is delivered under it." + cached
	case v.Mode == mtasts.ModeEnforce:
		return "The policy is enforced", "Senders deliver to the MX hosts that the policy of " + domain + " lists, if their certificates are valid." + cached
	case v.Mode == mtasts.ModeTesting:
		return "The policy is observed, not enforced", "Mail for " + domain + " is delivered whatever happens. Senders report failures." + cached
	case v.Source != "":
		return "The policy is withdrawn", "The policy of " + domain + " has mode none. Mail is delivered as without one." + cached
	case v.Reason == mtasts.ReasonNoRecord && !d.expected():
		return "No policy", domain + " does not take part in MTA-STS. Mail is delivered, with TLS only if nobody on the way prevents it."
	}
	return "No usable policy", domain + " publishes a policy that senders cannot use. Mail is delivered, with TLS only if nobody on the way prevents it."
}
