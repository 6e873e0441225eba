package diagnose

import (
	"maps"
	"slices"
	"strings"
)

// An entry is what the catalogue has for one code. In its texts {name} stands for an
// argument of the finding; {domain} and {host} are always there.
type entry struct {
	severity Severity
	step     StepID
	clause   string
	title    string
	text     string
	effect   string
	mend     string

	// observed is the effect without a policy in mode enforce, where nothing is held
	// back: an Error with it is then a Warning.
	observed string

	// causes are the codes from which this one follows, if they are in the report.
	causes []Code
}

// catalogue is never written to.
var catalogue = merge(recordCatalogue, hostCatalogue, fileCatalogue, mxCatalogue, besideCatalogue)

func merge(parts ...map[Code]entry) map[Code]entry {
	all := make(map[Code]entry)
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}

// Catalogue returns a finding for each code that this version knows, in the order of the
// codes, with its texts not filled in. DependsOn has all its possible causes.
func Catalogue() []Finding {
	var list []Finding
	for _, code := range slices.Sorted(maps.Keys(catalogue)) {
		e := catalogue[code]
		list = append(list, Finding{Code: code, Severity: e.severity, Step: e.step, Clause: e.clause,
			Title: e.title, Text: e.text, Effect: e.effect, Mend: e.mend, DependsOn: slices.Clone(e.causes)})
	}
	return list
}

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
		if severity == Error {
			severity = Warning
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

// has reports whether the report has a finding with one of codes.
func (d *diagnosis) has(codes ...Code) bool {
	return slices.ContainsFunc(d.r.Findings, func(f Finding) bool { return slices.Contains(codes, f.Code) })
}

// order puts the findings in order, worst first, and joins consequences to their causes.
// A cause is as bad as what follows from it.
func (d *diagnosis) order() {
	rank := map[Severity]int{Error: 0, CouldNotTell: 1, Warning: 2, Notice: 3}
	for i := range d.r.Findings {
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
		}
	}
	slices.SortStableFunc(d.r.Findings, func(a, b Finding) int {
		if a.Severity != b.Severity {
			return rank[a.Severity] - rank[b.Severity]
		}
		return min(len(a.DependsOn), 1) - min(len(b.DependsOn), 1) // causes before consequences
	})
}
