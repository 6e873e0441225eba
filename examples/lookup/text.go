package main

import (
	"fmt"
	"strings"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

// A page is a text that is being written for a screen. All that comes from a report is
// printable ASCII, so that a column is an octet.
type page struct {
	strings.Builder
	screen *screen
	width  int
}

// report writes a report: the verdict, the findings, worst first, and the way of the mail with
// what was seen at each step.
func (p *page) report(r *diagnose.Report) {
	s := p.screen
	colour := map[diagnose.Status]string{diagnose.Fine: green, diagnose.HasFindings: red}[r.Verdict.Status]
	if colour == "" {
		colour = yellow
	}
	name := r.Domain
	if name == "" {
		name = cli.Printable(r.Asked)
	}
	fmt.Fprintf(p, "%s: %s\n", s.paint(bold, name), s.paint(colour, r.Verdict.Title))
	p.paragraph("", "", r.Verdict.Text)

	for i := range r.Findings {
		p.WriteByte('\n')
		p.finding(&r.Findings[i], i > 0 && r.Findings[i-1].Code == r.Findings[i].Code)
	}
	p.WriteString("\n" + s.paint(bold, "The way of the mail") + "\n")
	for _, step := range r.Steps {
		p.step(step)
		p.seen(r, step.ID)
		if r.Domain == "" {
			break // nothing was looked at
		}
	}
}

// paragraph writes text in lines. The first begins with first, the others with as many
// spaces, or with rest if that is longer.
func (p *page) paragraph(first, rest, text string) {
	rest += strings.Repeat(" ", max(0, len(first)-len(rest)))
	for i, line := range wrap(text, max(p.width-len(rest), 10)) {
		if i > 0 {
			first = rest
		}
		p.WriteString(strings.TrimRight(first+line, " ") + "\n")
	}
}

// severities are the severities in words, and in colours.
var severities = map[diagnose.Severity]struct{ word, colour string }{
	diagnose.Error:        {"error", red},
	diagnose.CouldNotTell: {"could not tell", yellow},
	diagnose.Warning:      {"warning", yellow},
	diagnose.Notice:       {"notice", cyan},
}

// finding writes a finding. What is the same for all of one code is not repeated.
func (p *page) finding(f *diagnose.Finding, again bool) {
	severity := severities[f.Severity]
	for i, line := range wrap(severity.word+": "+f.Title, p.width) {
		rest, ok := strings.CutPrefix(line, severity.word)
		if i > 0 || !ok {
			rest = line
		} else {
			p.WriteString(p.screen.paint(severity.colour, severity.word))
		}
		p.WriteString(p.screen.paint(bold, rest) + "\n")
	}
	const indent = "         "
	p.paragraph("  ", "", f.Text)
	if !again {
		p.paragraph("  effect ", indent, f.Effect)
		p.paragraph("  mend   ", indent, f.Mend)
	}
	for _, line := range f.Publish {
		p.WriteString(indent + p.screen.paint(bold, line) + "\n") // not wrapped: it is to be copied
	}
	seen := "  seen   "
	for _, e := range f.Evidence {
		p.evidence(seen+e.Label+": ", e.Text, e.Column)
		seen = indent
	}
	if again {
		return
	}
	if len(f.DependsOn) > 0 {
		causes := make([]string, len(f.DependsOn))
		for i, code := range f.DependsOn {
			causes[i] = string(code)
		}
		p.paragraph("  cause  ", indent, strings.Join(causes, ", "))
	}
	p.paragraph("  clause ", indent, f.Clause+" ("+string(f.Code)+")")
}

// evidence writes text in pieces, as it is, with a caret below the column, which counts from
// 1; 0 means none.
func (p *page) evidence(label, text string, column int) {
	if column == 0 {
		p.paragraph(label, "", text)
		return
	}
	const least = 20
	if p.width-len(label) < least {
		p.WriteString(strings.TrimRight(label, " ") + "\n")
		label = "         "
	}
	indent := strings.Repeat(" ", len(label))
	size := p.width - len(label)
	for at := 0; at == 0 || at < len(text); at += size {
		piece := text[at:min(at+size, len(text))]
		p.WriteString(strings.TrimRight(label+piece, " ") + "\n")
		if caret := column - 1 - at; caret >= 0 && caret <= len(piece) && (caret < size || at+size >= len(text)) {
			p.WriteString(indent + strings.Repeat(" ", caret) + p.screen.paint(red, "^") + "\n")
		}
		label = indent
	}
}

// states are the states of a step in words, and in colours.
var states = map[diagnose.State]struct{ word, colour string }{
	diagnose.Pass:      {"ok", green},
	diagnose.Warn:      {"warning", yellow},
	diagnose.Fail:      {"fail", red},
	diagnose.NotTested: {"not tested", faint},
	diagnose.NotUsed:   {"not used", faint},
	diagnose.Unknown:   {"unknown", yellow},
}

// stepIndent is where the text of a step begins.
const stepIndent = "              "

func (p *page) step(s diagnose.Step) {
	state := states[s.State]
	word := fmt.Sprintf("%-*s", len(stepIndent)-2, state.word)
	for i, line := range wrap(s.Title+": "+s.Text, p.width-len(stepIndent)) {
		indent := stepIndent
		if i == 0 {
			indent = "  " + p.screen.paint(state.colour, word)
			if rest, ok := strings.CutPrefix(line, s.Title); ok {
				line = p.screen.paint(bold, s.Title) + rest
			}
		}
		p.WriteString(indent + line + "\n")
	}
}
