package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

// maxDiagnoses bounds the diagnoses under way.
const maxDiagnoses = 16

// An inquiry is what is asked about domains.
type inquiry struct {
	domains []string
	scenes  map[string]string // what to say before the report of a domain
	opts    diagnose.Options
	cached  map[string]*mtasts.Cached // by policy domain
}

// diagnose is the command without a name.
func (p *program) diagnose(ctx context.Context, c *config) (int, error) {
	q, err := p.inquiry(ctx, c)
	if err != nil {
		return exitUnknown, err
	}
	var show func(*diagnose.Report) error
	var t *table
	switch {
	case c.json:
		show = p.writeJSON
	case len(q.domains) == 1 || c.demo:
		show = func(r *diagnose.Report) error { return p.writeText(r, q.scenes[r.Domain]) }
	default:
		t = new(table)
		show = t.add
	}
	bar := newBar(p.progress, len(q.domains))
	status := exitFine
	for r := range q.reports(ctx) {
		status = worse(status, exitStatus(r))
		if t == nil {
			bar.clear()
		}
		if err := show(r); err != nil {
			return exitUnknown, err
		}
		bar.step(r.Asked)
	}
	bar.clear()
	if t != nil {
		err = p.writeTable(t)
	}
	return status, err
}

// inquiry finds out what is asked.
func (p *program) inquiry(ctx context.Context, c *config) (*inquiry, error) {
	if c.demo {
		if len(c.names) > 0 || c.db != "" {
			return nil, usagef("-demo has domains and a cache of its own")
		}
		return demo(ctx, c)
	}
	q := &inquiry{opts: c.network(p.network)}
	for _, name := range c.names {
		if name != "-" {
			q.domains = append(q.domains, name)
			continue
		}
		list, err := readList(p.stdin)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		q.domains = append(q.domains, list...)
	}
	if len(c.names) == 0 {
		return nil, usagef("no domain is given")
	}
	if c.db != "" {
		store, err := openStore(c.db)
		if err != nil {
			return nil, err
		}
		defer store.Close()
		q.cached, err = find(ctx, store, q.domains)
		if err != nil {
			return nil, err
		}
	}
	return q, nil
}

// report diagnoses one domain.
func (q *inquiry) report(ctx context.Context, domain string) *diagnose.Report {
	opts := q.opts
	opts.Cached = q.cached[policyDomain(domain)]
	return diagnose.Diagnose(ctx, domain, &opts)
}

// reports diagnoses the domains, several at once, and yields the reports in the order of the
// domains.
func (q *inquiry) reports(ctx context.Context) iter.Seq[*diagnose.Report] {
	return func(yield func(*diagnose.Report) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		pending := make(chan chan *diagnose.Report, maxDiagnoses-1)
		go func() {
			defer close(pending)
			for _, domain := range q.domains {
				done := make(chan *diagnose.Report, 1)
				pending <- done
				go func() { done <- q.report(ctx, domain) }()
			}
		}()
		more := true
		for done := range pending {
			r := <-done
			if more && !yield(r) {
				more = false
				cancel()
			}
		}
	}
}

// exitStatus is that of one report.
func exitStatus(r *diagnose.Report) int {
	switch r.Verdict.Status {
	case diagnose.Fine:
		return exitFine
	case diagnose.HasFindings:
		return exitFindings
	}
	return exitUnknown
}

// worse is the status of several reports: what is to be mended comes before what could not
// be found out.
func worse(a, b int) int {
	if a == exitFindings || b == exitFindings {
		return exitFindings
	}
	return max(a, b)
}

// writeJSON writes a report as one line.
func (p *program) writeJSON(r *diagnose.Report) error { return json.NewEncoder(p.stdout).Encode(r) }

// writeText writes a report for a reader, with what is to be said before it.
func (p *program) writeText(r *diagnose.Report, before string) error {
	out := &page{screen: p.stdout, width: min(p.stdout.width, mostWidth)}
	if before != "" {
		fmt.Fprintln(out, p.stdout.paint(faint, strings.Repeat("-", out.width)))
		out.paragraph("", "", before)
		fmt.Fprintln(out)
	}
	out.report(r)
	_, err := io.WriteString(p.stdout, out.String())
	return err
}

// policyDomain is the form in which domains are compared, and in which a cache has them.
func policyDomain(domain string) string { return mtasts.NoPolicy(domain).Domain }
