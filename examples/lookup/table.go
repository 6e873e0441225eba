package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

// A table is a summary of many reports. It keeps a row of each, so that a list may be long.
type table struct {
	rows   [][]string
	counts map[diagnose.Status]int
}

// add adds a row.
func (t *table) add(r *diagnose.Report) error {
	if t.counts == nil {
		t.counts = make(map[diagnose.Status]int)
	}
	t.counts[r.Verdict.Status]++
	policy := string(r.Verdict.Mode)
	switch {
	case r.Verdict.Temporary && r.Verdict.Source == "":
		policy = "?"
	case r.Verdict.Source == "":
		policy = "-"
	case r.Verdict.Source == "cached" && r.Verdict.Mode != mtasts.ModeNone:
		policy += ", cached"
	}
	delivery := map[diagnose.Decision]string{diagnose.Deliver: "yes", diagnose.Hold: "held", diagnose.Untested: "untested"}[r.Verdict.Delivery]
	worst := ""
	if len(r.Findings) > 0 && r.Findings[0].Severity != diagnose.Notice {
		worst = string(r.Findings[0].Code)
		serious := 0
		for _, f := range r.Findings {
			if f.Severity != diagnose.Notice {
				serious++
			}
		}
		if serious > 1 {
			worst += fmt.Sprintf(", %d more", serious-1)
		}
	}
	name := r.Domain
	if name == "" {
		name = cli.Printable(r.Asked)
	}
	t.rows = append(t.rows, []string{name, string(r.Verdict.Status), policy, delivery, worst})
	return nil
}

// writeTable writes the rows in columns, and how many there are of each status.
func (p *program) writeTable(t *table) error {
	colours := map[string]string{string(diagnose.Fine): green, string(diagnose.HasFindings): red, string(diagnose.Undecided): yellow}
	text := columns(p.stdout, []string{"DOMAIN", "VERDICT", "POLICY", "MAIL", "WORST FINDING"}, t.rows, func(column int, s string) string {
		return map[bool]string{true: colours[s]}[column == 1]
	})
	text += fmt.Sprintf("\n%d domains: %d fine, %d with findings, %d could not be told\n",
		len(t.rows), t.counts[diagnose.Fine], t.counts[diagnose.HasFindings], t.counts[diagnose.Undecided])
	_, err := io.WriteString(p.stdout, text)
	return err
}

// columns lays rows out in columns. On a terminal the first, which has names of any length, is
// cut where a line would not fit. colour says which colour a cell has, "" for none.
func columns(s *screen, head []string, rows [][]string, colour func(column int, cell string) string) string {
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	total := 2 * (len(head) - 1)
	for _, w := range widths {
		total += w
	}
	const least = 16
	if s.terminal && total > s.width {
		widths[0] = max(min(widths[0], least), widths[0]-(total-s.width))
	}
	var b strings.Builder
	write := func(row []string, colour func(int, string) string) {
		var line strings.Builder
		for i, cell := range row {
			if len(cell) > widths[i] {
				cell = cell[:widths[i]-3] + "..."
			}
			pad := strings.Repeat(" ", widths[i]-len(cell))
			line.WriteString(s.paint(colour(i, row[i]), cell) + pad + "  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	write(head, func(int, string) string { return bold })
	for _, row := range rows {
		write(row, colour)
	}
	return b.String()
}
