package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

// warm is the command "warm".
func (p *program) warm(ctx context.Context, c *config) (int, error) {
	if len(c.names) != 1 {
		return exitUsage, usagef("warm needs one list, a file or -")
	}
	if c.db == "" {
		return exitUsage, usagef("-db FILE is missing")
	}
	names, err := p.list(ctx, c.names[0])
	if err != nil {
		return exitUnknown, fmt.Errorf("%s: %w", c.names[0], err)
	}
	network := c.network(p.network)
	client, err := mtasts.Open(c.db, &mtasts.Options{Resolver: network.Resolver, Transport: network.Transport,
		RootCAs: network.RootCAs, AllowNets: network.AllowNets})
	if err != nil {
		return exitUnknown, err
	}
	start := time.Now()
	bar := newBar(p.progress, len(names))
	reasons := make(map[string]int) // of those that failed
	var last mtasts.WarmProgress
	err = client.Warm(ctx, slices.Values(names), func(now mtasts.WarmProgress) {
		if now.Failed > last.Failed {
			failure, _ := errors.AsType[*mtasts.Error](now.Err)
			reasons[failure.Reason]++
		}
		last = now
		bar.step(now.Domain)
	})
	if closing := client.Close(); err == nil {
		err = closing
	}
	if writing := bar.without(func() error {
		_, err := io.WriteString(p.stdout, warmSummary(last, reasons, time.Since(start)))
		return err
	}); err == nil {
		err = writing
	}
	switch {
	case ctx.Err() != nil:
		return exitUnknown, fmt.Errorf("interrupted after %d of %d; the same command goes on from there", last.Done(), len(names))
	case err != nil:
		return exitUnknown, err
	case last.Failed+last.Invalid > 0:
		return exitFindings, nil
	}
	return exitFine, nil
}

// list reads a list from a file, or from standard input if its name is "-".
func (p *program) list(ctx context.Context, name string) ([]string, error) {
	if name == "-" {
		return readInput(ctx, p.stdin)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readList(file)
}

// warmSummary says how many domains came to which outcome.
func warmSummary(n mtasts.WarmProgress, reasons map[string]int, took time.Duration) string {
	var why []string
	for _, reason := range slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		if reasons[a] != reasons[b] {
			return reasons[b] - reasons[a]
		}
		return strings.Compare(a, b)
	}) {
		why = append(why, fmt.Sprintf("%s %d", reason, reasons[reason]))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d domains in %s\n", n.Done(), took.Round(time.Second/10))
	for _, row := range []struct {
		count int
		name  string
		note  string
	}{
		{n.Fetched, "fetched", ""},
		{n.Cached, "cached", "before"},
		{n.None, "none", "publish no policy"},
		{n.Failed, "failed", strings.Join(why, ", ")},
		{n.Invalid, "invalid", "are no domains"},
	} {
		line := fmt.Sprintf("%7d %-8s", row.count, row.name)
		if row.count > 0 {
			line += row.note
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
