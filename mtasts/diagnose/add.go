package diagnose

import (
	"slices"
	"strconv"
	"strings"
)

// args are the arguments of a finding, by name.
type args map[string]string

// maxPerCode bounds the findings of one code, whatever a domain publishes.
const maxPerCode = maxMX

// add adds a finding to the report. What it returns is for evidence, until the next call.
func (d *diagnosis) add(code Code, subject string, a args) *Finding {
	e := catalogue[code]
	if a == nil {
		a = args{}
	}
	d.counts[code]++
	if d.counts[code] > maxPerCode {
		return new(Finding)
	}
	a["domain"], a["host"] = d.r.Domain, d.r.PolicyHost.Name
	severity, effect := e.severity, e.effect
	if e.observed != "" && !d.enforced() {
		effect = e.observed
		switch {
		case severity == Error && d.expected():
			severity = Warning
		case severity == Error:
			severity = Notice
		}
	}
	pairs := make([]string, 0, 2*len(a))
	for name, value := range a {
		pairs = append(pairs, "{"+name+"}", value)
	}
	fill := strings.NewReplacer(pairs...).Replace
	d.r.Findings = append(d.r.Findings, Finding{Code: code, Severity: severity, Step: e.step, Subject: subject, Clause: e.clause,
		Title: fill(e.title), Text: fill(e.text), Effect: fill(effect), Mend: fill(e.mend), Args: a,
		Publish: []string{}, Evidence: []Evidence{}, DependsOn: []Code{}})
	return &d.r.Findings[len(d.r.Findings)-1]
}

func (f *Finding) publish(lines ...string) *Finding {
	f.Publish = append(f.Publish, lines...)
	return f
}

// show adds evidence, which is escaped already.
func (f *Finding) show(label, text string, column int) *Finding {
	f.Evidence = append(f.Evidence, Evidence{label, text, column})
	return f
}

// showOther shows those of list that are not in other, which are the lines of two files.
func (f *Finding) showOther(label string, list, other []string) {
	for i, line := range list {
		if !slices.Contains(other, line) {
			f.show(label+", line "+strconv.Itoa(i+1), line, 0)
		}
	}
}

// has reports whether the report has a finding with one of codes.
func (d *diagnosis) has(codes ...Code) bool {
	return slices.ContainsFunc(d.r.Findings, func(f Finding) bool { return slices.Contains(codes, f.Code) })
}

// order puts the findings in order, worst first, and joins consequences to their causes. A
// cause is as bad as what follows from it. What holds mail back comes first.
func (d *diagnosis) order() {
	rank := map[Severity]int{Error: 0, CouldNotTell: 1, Warning: 2, Notice: 3}
	place := map[Code]int{"mail-held": -10}
	for i := len(d.r.Findings) - 1; i >= 0; i-- { // consequences are added after their causes
		f := &d.r.Findings[i]
		for j := range d.r.Findings {
			cause := &d.r.Findings[j]
			if !slices.Contains(catalogue[f.Code].causes, cause.Code) {
				continue
			}
			if !slices.Contains(f.DependsOn, cause.Code) {
				f.DependsOn = append(f.DependsOn, cause.Code)
			}
			if cause.Severity != CouldNotTell && rank[f.Severity] < rank[cause.Severity] {
				cause.Severity = f.Severity
			}
			place[cause.Code] = min(place[cause.Code], place[f.Code]-1)
		}
	}
	slices.SortStableFunc(d.r.Findings, func(a, b Finding) int {
		if a.Severity != b.Severity {
			return rank[a.Severity] - rank[b.Severity]
		}
		return place[a.Code] - place[b.Code]
	})
}
