package diagnose

import (
	"cmp"
	"fmt"

	"github.com/mtasts/go-mtasts/mtasts"
)

// steps are the way of the mail. A step is as bad as the worst finding about it.
func (d *diagnosis) steps() []Step {
	r := d.r
	steps := []Step{}
	add := func(id StepID, title string, state State, text string) {
		for _, finding := range r.Findings {
			if finding.Step == id {
				state = worse(state, finding.Severity)
			}
		}
		steps = append(steps, Step{id, title, state, text})
	}
	tested := func(yes bool) State {
		if yes {
			return Pass
		}
		return NotTested
	}
	known := d.domainErr == nil
	add(StepDomain, "Domain", Pass, cmp.Or(errorText(d.domainErr), "the policy domain is "+r.Domain))
	expected := known && d.expected()
	record := cmp.Or(r.Record.Error, "one record, with the id "+r.Record.ID)
	if !expected {
		record = "there is none, and nothing else of MTA-STS either"
	}
	add(StepRecord, "TXT record", tested(known), record)
	add(StepHost, "Policy host", tested(expected), d.hostText())
	add(StepTLS, "Certificate of the policy host", tested(expected && r.PolicyHost.TLS != nil), d.tlsText())
	add(StepAnswer, "Answer of the policy host", tested(expected && r.Answer != nil), d.answerText())
	file := tested(expected && r.File != nil)
	if expected && r.File != nil && !r.File.Valid {
		file = Fail
	}
	add(StepFile, "Policy file", file, d.fileText())
	add(StepMX, "MX hosts", tested(known), d.mxText())
	add(StepProbe, "STARTTLS with each MX host", d.probeState(), d.probeText())
	dane, text := d.dane()
	add(StepDANE, "DANE", dane, text)
	add(StepReport, "TLS reporting", tested(known), d.reportText())
	if r.Cached != nil {
		add(StepCached, "Cached policy", Pass, fmt.Sprintf("mode %s, id %s, valid until %s", r.Cached.Mode, r.Cached.ID, stamp(r.Cached.Expires)))
	}
	return steps
}

// worse is the state of a step about which there is a finding.
func worse(s State, severity Severity) State {
	switch {
	case severity == Error:
		return Fail
	case severity == CouldNotTell && s != Fail:
		return Unknown
	case severity == Warning && s != Fail && s != Unknown:
		return Warn
	}
	return s
}

func (d *diagnosis) hostText() string {
	h := &d.r.PolicyHost
	switch {
	case !d.expected():
		return "no record names it, so senders do not ask it"
	case h.Address != "":
		return "connected to " + h.Address
	case d.r.Answer != nil:
		return "it answered"
	}
	return h.Error
}

func (d *diagnosis) tlsText() string {
	t := d.r.PolicyHost.TLS
	if t == nil {
		return "there is no TLS session"
	}
	return cmp.Or(t.Error, "the certificate is valid for "+t.SNI)
}

func (d *diagnosis) answerText() string {
	a := d.r.Answer
	if a == nil {
		return "there is no answer"
	}
	return cmp.Or(a.Error, fmt.Sprintf("%d, %s, %s", a.Status, cmp.Or(a.MediaType, "no media type"), plural(int64(a.Octets), "octet")))
}

func (d *diagnosis) fileText() string {
	f := d.r.File
	if f == nil {
		return "there is no policy file"
	}
	return cmp.Or(f.Error, fmt.Sprintf("mode %s, max_age %s", f.Mode, span(f.MaxAge)))
}

func (d *diagnosis) mxText() string {
	text, listed := plural(int64(len(d.r.MX)), "MX host"), 0
	for _, mx := range d.r.MX {
		listed += count(mx.Listed == Listed)
	}
	if d.domainErr == nil && d.listing().Mode != mtasts.ModeNone {
		text += fmt.Sprintf(", %d in the policy", listed)
	}
	return cmp.Or(d.r.MXError, text)
}

// probeState is Pass if a session was tried with a host to which senders deliver.
func (d *diagnosis) probeState() State {
	state := NotTested
	for _, mx := range d.r.MX {
		if mx.Probe != nil && mx.Probe.State != NotTested && (mx.Listed != NotListed || !d.enforced()) {
			state = Pass
		}
	}
	return state
}

func (d *diagnosis) probeText() string {
	if !d.opts.Probe {
		return "nobody asked for it"
	}
	valid := 0
	for _, mx := range d.r.MX {
		valid += count(mx.Probe != nil && mx.Probe.TLS != nil && mx.Probe.TLS.Valid)
	}
	return fmt.Sprintf("%s, %d with TLS and a valid certificate", plural(int64(len(d.r.MX)), "MX host"), valid)
}

func (d *diagnosis) dane() (State, string) {
	state, records := NotTested, 0
	for _, mx := range d.r.MX {
		switch mx.DANE.State {
		case Unknown:
			return Unknown, mx.DANE.Error
		case Pass:
			state = Pass
			records += count(mx.DANE.Authenticated && len(mx.DANE.Records) > 0)
		}
	}
	if state == NotTested {
		return state, "the resolver cannot tell, or there is no MX host"
	}
	return state, fmt.Sprintf("%s, %d with TLSA records that DNSSEC confirms", plural(int64(len(d.r.MX)), "MX host"), records)
}

func (d *diagnosis) reportText() string {
	switch r := &d.r.TLSRPT; {
	case r.Text != "" && r.Misplaced == "":
		return "a record asks for reports"
	case r.State == Pass:
		return "no record asks for reports, which is optional"
	default:
		return r.Error
	}
}

// span is a length of time in the largest unit that fits.
func span(seconds int64) string {
	for _, unit := range []struct {
		name    string
		seconds int64
	}{{"week", 604800}, {"day", 86400}, {"hour", 3600}, {"minute", 60}} {
		if seconds > 0 && seconds%unit.seconds == 0 {
			return plural(seconds/unit.seconds, unit.name)
		}
	}
	return plural(seconds, "second")
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
