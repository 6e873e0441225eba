package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A row is what a scenario has shown.
type row struct {
	name                       string
	calls                      int64
	time                       time.Duration
	before, peak, open, closed reading
	disk                       int64
	bounds                     []bound
	err                        error // the scenario could not be played
}

// A bound is a figure and the most that it may be.
type bound struct {
	what      string
	got, most float64
	unit      string
	shown     bool // by a column of its own
}

func (b bound) holds() bool { return b.got <= b.most }

func (b bound) String() string {
	sign := "<="
	if !b.holds() {
		sign = ">"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", b.what, figure(b.got), sign, figure(b.most), b.unit))
}

// figure is a number with as many digits as one cares for.
func figure(f float64) string {
	if f == float64(int64(f)) || f >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 2, 64)
}

func mib(octets int64) float64 { return float64(octets) / (1 << 20) }

const (
	headFormat = "%-38s %9s %7s  %-23s  %-27s  %-23s  %8s  %-7s  %s\n"
	rowFormat  = "%-38s %9d %6.1fs  %5.1f %5.1f %5.1f %5.1f  %6d %6d %6d %6d  %5d %5d %5d %5d  %8.1f  %-7s  %s\n"
)

func printHead(out io.Writer) {
	fmt.Fprintf(out, headFormat, "", "", "", "heap, MiB", "goroutines", "open files", "disk", "", "")
	three := func(width int) string {
		return fmt.Sprintf("%*s %*s %*s %*s", width, "before", width, "peak", width, "open", width, "closed")
	}
	fmt.Fprintf(out, headFormat, "scenario", "calls", "time", strings.Replace(three(5), "before", "start", 1), three(6),
		strings.Replace(three(5), "before", "start", 1), "MiB", "verdict", "bounds")
}

func printRow(out io.Writer, r row) {
	verdict := "holds"
	var bounds []string
	for _, b := range r.bounds {
		if !b.holds() {
			verdict = "BROKEN"
		}
		if !b.shown || !b.holds() {
			bounds = append(bounds, b.String())
		}
	}
	if r.err != nil {
		verdict = "FAILED"
		bounds = append(bounds, r.err.Error())
	}
	fmt.Fprintf(out, rowFormat, r.name, r.calls, r.time.Seconds(),
		mib(r.before.heap), mib(r.peak.heap), mib(r.open.heap), mib(r.closed.heap),
		r.before.goroutines, r.peak.goroutines, r.open.goroutines, r.closed.goroutines,
		r.before.files, r.peak.files, r.open.files, r.closed.files,
		mib(r.disk), verdict, strings.Join(bounds, "; "))
}
