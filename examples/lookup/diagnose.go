package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

const (
	// maxDiagnoses bounds the diagnoses under way.
	maxDiagnoses = 16

	// maxAhead bounds the reports that wait for that of an earlier domain, which is slow.
	maxAhead = 256
)

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
	bar := newBar(p.progress, len(q.domains))
	show := func(r *diagnose.Report) error {
		return bar.without(func() error { return p.writeText(r, q.scenes[r.Domain]) })
	}
	var t table
	asTable := !c.json && !c.demo && len(q.domains) > 1
	switch {
	case c.json:
		show = func(r *diagnose.Report) error { return bar.without(func() error { return p.writeJSON(r) }) }
	case asTable:
		show = t.add
	}
	status := exitFine
	var all []*diagnose.Report // for the page
	for r := range q.reports(ctx, bar.step) {
		if c.html != "" {
			all = append(all, r)
		}
		status = worse(status, exitStatus(r))
		if err := show(r); err != nil {
			return exitUnknown, err
		}
	}
	err = bar.without(func() error {
		if asTable {
			return p.writeTable(&t)
		}
		return nil
	})
	if err == nil && c.html != "" {
		if err = writeHTML(c.html, all, q.scenes); err != nil {
			return exitUnknown, err
		}
	}
	if err == nil && ctx.Err() != nil {
		return exitUnknown, errInterrupted
	}
	return status, err
}

var errInterrupted = errors.New("interrupted: what had not been asked by then is not known")

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
		list, err := readInput(ctx, p.stdin)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		q.domains = append(q.domains, list...)
	}
	if len(q.domains) == 0 {
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
// domains, up to the first that was not asked when ctx ended. It calls done after each, in any
// order and concurrently.
func (q *inquiry) reports(ctx context.Context, done func(domain string)) iter.Seq[*diagnose.Report] {
	return func(yield func(*diagnose.Report) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var work sync.WaitGroup
		defer work.Wait()
		defer cancel()
		queue := make(chan chan *diagnose.Report, maxAhead)
		places := make(chan struct{}, maxDiagnoses)
		work.Go(func() {
			defer close(queue)
			for _, domain := range q.domains {
				places <- struct{}{} // each holder ends with ctx
				if ctx.Err() != nil {
					return
				}
				result := make(chan *diagnose.Report, 1)
				work.Go(func() {
					result <- q.report(ctx, domain)
					done(domain)
					<-places
				})
				select {
				case queue <- result:
				case <-ctx.Done():
					return
				}
			}
		})
		for result := range queue {
			if !yield(<-result) {
				return
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
