package main

import (
	"cmp"
	"fmt"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

// A sheet is a report as the page shows it.
type sheet struct {
	*diagnose.Report
	Scene  string // what is to be said before it
	number int    // on the page
}

// ID is the id of an element, of which each report has one.
func (s sheet) ID(of any) string { return fmt.Sprintf("d%d-%v", s.number, of) }

func (s sheet) Name() string { return cmp.Or(s.Domain, s.Asked) }

// State is that of the verdict: as bad as the worst finding.
func (s sheet) State() diagnose.State {
	if s.Verdict.Status == diagnose.Fine || len(s.Findings) == 0 {
		return diagnose.Pass
	}
	return stateOf[s.Findings[0].Severity]
}

// Count is how many findings there are of each severity.
func (s sheet) Count() string {
	counts := make(map[diagnose.Severity]int)
	for _, f := range s.Findings {
		counts[f.Severity]++
	}
	text := ""
	for _, severity := range []diagnose.Severity{diagnose.Error, diagnose.CouldNotTell, diagnose.Warning, diagnose.Notice} {
		if n := counts[severity]; n > 0 {
			if text != "" {
				text += ", "
			}
			text += fmt.Sprintf("%d %s", n, severities[severity].word)
			if n > 1 && severity != diagnose.CouldNotTell {
				text += "s"
			}
		}
	}
	return cmp.Or(text, "none")
}

// beside are the steps that are not on the way itself.
func beside(id diagnose.StepID) bool {
	return id == diagnose.StepDANE || id == diagnose.StepReport || id == diagnose.StepCached
}

func (s sheet) steps(aside bool) (list []diagnose.Step) {
	for _, step := range s.Steps {
		if beside(step.ID) == aside {
			list = append(list, step)
		}
	}
	return list
}

func (s sheet) Main() []diagnose.Step   { return s.steps(false) }
func (s sheet) Beside() []diagnose.Step { return s.steps(true) }

// Open reports whether a step is to be read at once.
func (s sheet) Open(step diagnose.Step) bool {
	return step.State == diagnose.Fail || step.State == diagnose.Warn || step.State == diagnose.Unknown
}

// A view is a report at one step.
type view struct {
	*diagnose.Report
	Step diagnose.StepID
}

func (s sheet) Seen(id diagnose.StepID) view { return view{s.Report, id} }

// A card is a finding as the page shows it.
type card struct {
	*diagnose.Finding
	Anchor string
	Again  bool // what is the same for all of one code was said above
	Causes []cause
}

type cause struct{ Anchor, Title string }

func (c card) State() diagnose.State { return stateOf[c.Severity] }

// Shown are the findings, as cards.
func (s sheet) Shown() []card {
	first := make(map[diagnose.Code]cause)
	for i, f := range s.Findings {
		if _, ok := first[f.Code]; !ok {
			first[f.Code] = cause{s.ID(fmt.Sprintf("finding-%d", i+1)), f.Title}
		}
	}
	cards := make([]card, 0, len(s.Findings))
	for i := range s.Findings {
		f := &s.Findings[i]
		c := card{Finding: f, Anchor: s.ID(fmt.Sprintf("finding-%d", i+1)), Again: i > 0 && s.Findings[i-1].Code == f.Code}
		for _, code := range f.DependsOn {
			c.Causes = append(c.Causes, first[code])
		}
		cards = append(cards, c)
	}
	return cards
}

// note is the state, for a symbol and a colour, of what is only worth to know.
const note diagnose.State = "note"

// stateOf has the state whose symbol and colour a finding gets.
var stateOf = map[diagnose.Severity]diagnose.State{
	diagnose.Error: diagnose.Fail, diagnose.CouldNotTell: diagnose.Unknown, diagnose.Warning: diagnose.Warn, diagnose.Notice: note,
}

// word is a state or a severity in words.
func word(of any) string {
	switch of := of.(type) {
	case diagnose.State:
		return states[of].word
	case diagnose.Severity:
		return severities[of].word
	}
	return ""
}

// short is the title of a step in the drawing, where there is little room.
func short(step diagnose.Step) string {
	switch step.ID {
	case diagnose.StepTLS:
		return "Certificate"
	case diagnose.StepAnswer:
		return "Answer"
	case diagnose.StepProbe:
		return "STARTTLS"
	}
	return step.Title
}

var roles = map[diagnose.Role]string{
	diagnose.RoleChosen: "Chosen", diagnose.RoleInvalid: "Invalid", diagnose.RoleCandidate: "One of several",
	diagnose.RoleNearMiss: "Nearly a record", diagnose.RoleOther: "Other",
}

// A chip is what was found out about an MX host at one step.
type chip struct {
	State diagnose.State
	Text  string
}

// chips are the steps at an MX host, and what becomes of a message there.
func chips(mx diagnose.MX, mode mtasts.Mode) []chip {
	listed := chip{diagnose.Pass, "in the policy"}
	switch {
	case mx.Listed == "":
		listed = chip{diagnose.NotTested, "no policy applies"}
	case mx.Listed == diagnose.NotListed && mode == mtasts.ModeTesting:
		listed = chip{diagnose.Warn, "not in the policy"}
	case mx.Listed == diagnose.NotListed:
		listed = chip{diagnose.Fail, "not in the policy"}
	}

	session := chip{diagnose.NotTested, "TLS not tested"}
	if p := mx.Probe; p != nil {
		switch {
		case p.TLS != nil && p.TLS.Valid:
			session = chip{diagnose.Pass, p.TLS.Version + ", valid"}
		case p.TLS != nil:
			session = chip{diagnose.Fail, "certificate not valid"}
		case p.State == diagnose.Fail && !p.STARTTLS:
			session = chip{diagnose.Fail, "no STARTTLS"}
		case p.State == diagnose.Fail:
			session = chip{diagnose.Fail, "TLS fails"}
		default:
			session = chip{diagnose.Unknown, "TLS unknown"}
		}
	}

	dane := chip{diagnose.NotTested, "DANE not tested"}
	switch d := mx.DANE; {
	case d.State == diagnose.Unknown:
		dane = chip{diagnose.Unknown, "DANE unknown"}
	case d.State == diagnose.Pass && len(d.Records) == 0:
		dane = chip{diagnose.NotTested, "no DANE"}
	case d.State == diagnose.Pass && !d.Authenticated:
		dane = chip{diagnose.NotTested, "DANE without DNSSEC"}
	case d.State == diagnose.Pass:
		dane = chip{diagnose.Pass, "DANE"}
	}

	outcome := chip{diagnose.Unknown, decisions[mx.Decision]}
	switch mx.Decision {
	case diagnose.Deliver:
		outcome.State = diagnose.Pass
	case diagnose.Hold:
		outcome.State = diagnose.Fail
	case diagnose.Untested:
		outcome = chip{diagnose.NotTested, "depends on its TLS"}
	}
	return []chip{listed, session, dane, outcome}
}
