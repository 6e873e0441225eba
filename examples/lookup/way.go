package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

// note writes a point about what was seen at a step, and detail one about that.
func (p *page) note(format string, args ...any) {
	p.paragraph(stepIndent+"- ", "", fmt.Sprintf(format, args...))
}

func (p *page) detail(format string, args ...any) {
	p.paragraph(stepIndent+"  ", stepIndent+"    ", fmt.Sprintf(format, args...))
}

// seen writes what was seen at a step.
func (p *page) seen(r *diagnose.Report, id diagnose.StepID) {
	switch id {
	case diagnose.StepRecord:
		p.aliases(r.Record.Name, r.Record.Aliases)
		for _, txt := range r.Record.TXT {
			p.evidence(stepIndent+"- "+string(txt.Role)+": ", txt.Text, txt.Column)
		}
		p.more(r.Record.More, "TXT records")
	case diagnose.StepHost:
		p.aliases(r.PolicyHost.Name, r.PolicyHost.Aliases)
		p.addresses(r.PolicyHost.Addresses)
	case diagnose.StepTLS:
		if t := r.PolicyHost.TLS; t != nil {
			p.session(p.note, t)
		}
	case diagnose.StepAnswer:
		p.answer(r)
	case diagnose.StepFile:
		if r.File != nil {
			p.file(r.File)
		}
	case diagnose.StepMX:
		for i := range r.MX {
			p.mx(&r.MX[i])
		}
		p.more(r.MXMore, "MX hosts")
	case diagnose.StepProbe:
		for i := range r.MX {
			p.probe(&r.MX[i])
		}
	case diagnose.StepDANE:
		for _, mx := range r.MX {
			for _, record := range mx.DANE.Records {
				p.note("%s TLSA %s", mx.DANE.Name, record)
			}
		}
	case diagnose.StepReport:
		p.aliases(r.TLSRPT.Name, r.TLSRPT.Aliases)
		if r.TLSRPT.Text != "" {
			p.note("%s", r.TLSRPT.Text)
		}
	case diagnose.StepCached:
		p.cached(r)
	}
}

func (p *page) more(n int, what string) {
	if n > 0 {
		p.note("and %d more %s", n, what)
	}
}

func (p *page) aliases(name string, list []string) {
	if len(list) > 0 {
		p.note("%s is an alias of %s", name, strings.Join(list, ", which is one of "))
	}
}

func (p *page) addresses(list []diagnose.Address) {
	var open []string
	for _, a := range list {
		if a.Refused == "" {
			open = append(open, a.Addr)
		} else {
			p.note("%s", a.Refused)
		}
	}
	if len(open) > 0 {
		p.note("%s", strings.Join(open, ", "))
	}
}

// session writes a TLS session and its chain.
func (p *page) session(write func(string, ...any), t *diagnose.TLS) {
	parts := []string{t.Version}
	for _, part := range []string{t.CipherSuite, t.Group} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	write("%s", strings.Join(parts, ", "))
	if len(t.Chain) > 0 {
		const most = 5
		c := t.Chain[0]
		names := cmp.Or(strings.Join(c.Names[:min(len(c.Names), most)], ", "), c.Subject)
		if more := len(c.Names) + c.NamesMore - most; more > 0 {
			names += fmt.Sprintf(" and %d more names", more)
		}
		write("certificate for %s, valid from %s to %s, %s", names,
			c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly), c.Key)
		write("issued by %s", c.Issuer)
	}
	if t.Root != nil {
		write("root %s", t.Root.Subject)
	}
}

func (p *page) answer(r *diagnose.Report) {
	a := r.Answer
	if a == nil {
		return
	}
	p.note("%s", r.PolicyHost.URL)
	for _, field := range a.Header {
		if field.Name != "Content-Type" { // which the step has
			p.note("%s: %s", field.Name, field.Value)
		}
	}
	if a.LineEnds != "" {
		p.note("line ends: %s", a.LineEnds)
	}
	if !a.Whole {
		p.note("read %d octets, and not to the end", a.Octets)
	}
	if a.Browser != 0 {
		p.note("a browser gets %d, %s", a.Browser, cmp.Or(a.BrowserType, "no media type"))
	}
}

func (p *page) file(f *diagnose.File) {
	digits := len(fmt.Sprint(len(f.Lines)))
	for _, line := range f.Lines {
		p.evidence(fmt.Sprintf("%s%*d  ", stepIndent, digits, line.Number), line.Text, line.Column)
		if line.Why != "" {
			p.paragraph(stepIndent+strings.Repeat(" ", digits+2)+"- ", "", line.Why)
		}
	}
	p.more(f.More, "lines")
}

// decisions are the decisions at an MX host in words.
var decisions = map[diagnose.Decision]string{
	diagnose.Deliver:  "mail is delivered",
	diagnose.Hold:     "mail is held back",
	diagnose.Untested: "mail is delivered if its TLS is good",
}

func (p *page) mx(mx *diagnose.MX) {
	name := fmt.Sprintf("%d %s", mx.Preference, mx.Host)
	if mx.Implicit {
		name = mx.Host + ", the domain itself"
	}
	listed := "no mx line covers it; "
	switch {
	case mx.Pattern != "":
		listed = "covered by mx: " + mx.Pattern + "; "
	case mx.Listed == "":
		listed = "" // there is no policy
	case mx.Near != "":
		listed = "nearly covered by mx: " + mx.Near + ", but " + mx.NearWhy + "; "
	}
	p.note("%s: %s%s", name, listed, cmp.Or(decisions[mx.Decision], string(mx.Decision)))
}

func (p *page) probe(mx *diagnose.MX) {
	probe := mx.Probe
	if probe == nil {
		return
	}
	p.note("%s", strings.TrimSpace(mx.Host+" "+probe.Address))
	for _, a := range probe.Addresses {
		if a.Refused != "" {
			p.detail("%s", a.Refused)
		}
	}
	if probe.TLS != nil {
		p.session(p.detail, probe.TLS)
		if !probe.TLS.Valid {
			p.detail("not valid: %s", cmp.Or(probe.TLS.Error, probe.TLS.Reason, probe.TLS.Result))
		}
	}
	if probe.Error != "" {
		p.detail("%s", probe.Error)
	}
	if c := probe.Classical; c != nil {
		p.detail("without the key exchange against quantum computers: %s, %s", c.Version, c.Group)
	}
}

// cached writes what a sender has cached, beside what is published.
func (p *page) cached(r *diagnose.Report) {
	c := r.Cached
	if c == nil {
		return
	}
	left := c.Expires.Sub(r.Time)
	p.note("fetched %s, %s ago", stamp(c.Fetched), span(r.Time.Sub(c.Fetched)))
	if c.Expired {
		p.note("expired %s, %s ago", stamp(c.Expires), span(-left))
	} else {
		p.note("expires %s, in %s", stamp(c.Expires), span(left))
	}
	if r.Record.ID != "" {
		p.note("id %s; the record has %s", c.ID, r.Record.ID)
	}
	if r.File != nil {
		p.note("the file published now is %s", map[bool]string{true: "the same", false: "another one"}[c.SameText])
		if !c.SameText {
			p.note("cached: mode %s, mx %s", c.Mode, strings.Join(c.MX, ", "))
		}
	}
	if !c.LastUse.IsZero() {
		p.note("last use %s", stamp(c.LastUse))
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// span is a length of time in its largest fitting unit.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int64(d / unit.size); n >= 2 || n == 1 && unit.size == day {
			return fmt.Sprintf("%d %s%s", n, unit.name, map[bool]string{true: "", false: "s"}[n == 1])
		}
	}
	return "a second"
}
