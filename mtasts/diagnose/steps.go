package diagnose

import (
	"cmp"
	"fmt"

	"github.com/mtasts/go-mtasts/mtasts"
)

// stateOf is the state of a step by the worst finding about it.
var stateOf = map[Severity]State{Error: Fail, CouldNotTell: Unknown, Warning: Warn}

// steps are the way of the mail. The title of the worst finding about a step is its text.
func (d *diagnosis) steps() []Step {
	r, h := d.r, &d.r.PolicyHost
	steps := []Step{}
	skipped := "an earlier step has failed"
	add := func(id StepID, title string, tested bool, text string) {
		step := Step{id, title, Pass, text}
		if !tested {
			step.State, step.Text = NotTested, skipped
		}
		for _, f := range r.Findings { // worst first
			if f.Step == id && f.Severity != Notice {
				step.State, step.Text = stateOf[f.Severity], f.Title
				break
			}
		}
		steps = append(steps, step)
	}
	known := d.domainErr == nil
	asked := known && d.expected()
	add(StepDomain, "Domain", known, "the policy domain is "+r.Domain)
	if known && !asked {
		add(StepRecord, "TXT record", true, "there is none, and nothing else of MTA-STS either")
		skipped = "senders do not ask it without a record"
	} else {
		add(StepRecord, "TXT record", known, "one record, with the id "+r.Record.ID)
	}
	add(StepHost, "Policy host", asked && (h.Address != "" || h.TLS != nil || r.Answer != nil), "it takes connections")
	add(StepTLS, "Certificate of the policy host", asked && h.TLS != nil && h.TLS.Valid, "it is valid for "+h.Name)
	answer, file := "", ""
	if a := r.Answer; a != nil {
		answer = fmt.Sprintf("%d, %s, %s", a.Status, cmp.Or(a.MediaType, "no media type"), plural(int64(a.Octets), "octet"))
	}
	if f := r.File; f != nil {
		file = fmt.Sprintf("mode %s, max_age %s", f.Mode, span(f.MaxAge))
	}
	add(StepAnswer, "Answer of the policy host", asked && d.failed == nil, answer)
	add(StepFile, "Policy file", asked && r.File != nil && r.File.Valid, file)

	skipped = "an earlier step has failed"
	listed, tried, valid, dane, signed := 0, 0, 0, NotTested, 0
	for i, mx := range r.MX {
		tried += count(d.sessions[i].judged)
		listed += count(mx.Listed == Listed)
		valid += count(mx.Probe != nil && mx.Probe.TLS != nil && mx.Probe.TLS.Valid)
		signed += count(mx.DANE.Authenticated && len(mx.DANE.Records) > 0)
		if dane != Unknown {
			dane = mx.DANE.State
		}
	}
	hosts := plural(int64(len(r.MX)), "MX host")
	mx := hosts
	if known && d.listing().Mode != mtasts.ModeNone {
		mx += fmt.Sprintf(", %d in the policy", listed)
	}
	add(StepMX, "MX hosts", known, mx)
	skipped = "nobody asked for it"
	if d.opts.Probe {
		skipped = "there is no host to which senders would deliver"
	}
	add(StepProbe, "STARTTLS with each MX host", tried > 0, fmt.Sprintf("%s, %d with TLS and a valid certificate", hosts, valid))
	skipped = "the resolver could not tell, or there is no MX host"
	add(StepDANE, "DANE", dane == Pass, fmt.Sprintf("%s, %d with TLSA records that DNSSEC confirms", hosts, signed))
	switch last := &steps[len(steps)-1]; {
	case dane == Unknown:
		last.State = Unknown
	case last.State == Pass && signed == 0:
		last.State = NotUsed
	}
	reports := "no record asks for reports, which is optional"
	if r.TLSRPT.Text != "" {
		reports = "a record asks for reports"
	}
	skipped = "an earlier step has failed"
	add(StepReport, "TLS reporting", known, reports)
	if last := &steps[len(steps)-1]; last.State == Pass && r.TLSRPT.Text == "" {
		last.State = NotUsed
	}
	if c := r.Cached; c != nil {
		add(StepCached, "Cached policy", true, fmt.Sprintf("mode %s, id %s, valid until %s", c.Mode, c.ID, stamp(c.Expires)))
	}
	return steps
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
