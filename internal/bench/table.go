package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A target is a figure and the most that it may be.
type target struct {
	what      string
	got, most float64
	failed    bool // it could not be measured
}

// holds is false for what is no number, such as 0/0.
func (t target) holds() bool { return !t.failed && t.got <= t.most }

// targets are those of a row that decide. What could not be measured does not hold.
func targets(r row, res result, p plan) (list []target) {
	if res.skipped {
		return nil
	}
	if res.err != nil {
		return []target{{what: "to be measured", failed: true}}
	}
	if r.most > 0 && !p.short {
		got, what := res.ratio, "ratio"
		if r.base.bench == "" {
			got, what = res.ours, r.compared()
		}
		list = append(list, target{what: what, got: got, most: r.most})
	}
	if r.allocs != nil {
		list = append(list, target{what: "allocations", got: res.allocs, most: float64(*r.allocs)})
	}
	if res.instructions != 0 {
		list = append(list, target{what: "instructions", got: res.instructions, most: float64(r.instructions)})
	}
	return list
}

const format = "%-34s %9s %9s %7s %9s %12s %15s  %s\n"

func printHead(out io.Writer) {
	fmt.Fprintf(out, format, "row", "ours", "floor", "ratio", "target", "allocs", "instructions", "")
}

func printRow(out io.Writer, r row, res result, p plan) {
	verdict := "holds"
	list := targets(r, res, p)
	var broken []string
	for _, t := range list {
		if !t.holds() {
			broken = append(broken, t.what)
		}
	}
	switch {
	case res.skipped:
		verdict = "only without -short"
	case res.err != nil:
		verdict = "FAILED: " + res.err.Error()
	case len(broken) > 0:
		verdict = "BROKEN: " + strings.Join(broken, ", ")
	case len(list) == 0:
		verdict = ""
	}

	ours, base, ratio, goal := "-", "-", "-", "-"
	allocs, instructions := "-", "-"
	if r.most > 0 {
		goal = "<= " + figure(r.most) + "x"
		if r.base.bench == "" {
			goal = "<= " + amount(r.most, r.compared())
		}
	}
	if !res.skipped && res.err == nil {
		ours = amount(res.ours, r.compared())
		if r.base.bench != "" {
			base, ratio = amount(res.base, r.compared()), figure(res.ratio)+"x"
		}
		allocs = figure(res.allocs)
		if res.instructions != 0 {
			instructions = figure(res.instructions)
		}
	}
	if r.allocs != nil {
		allocs += " <= " + strconv.Itoa(*r.allocs)
	}
	if r.instructions > 0 {
		instructions += " <= " + strconv.Itoa(r.instructions)
	}
	fmt.Fprintf(out, format, r.name, ours, base, ratio, goal, allocs, instructions, verdict)
}

// amount is a figure with its unit; times are in the largest that fits.
func amount(f float64, unit string) string {
	if !strings.HasSuffix(unit, "ns/op") {
		return figure(f)
	}
	switch {
	case f >= 1e6:
		return figure(f/1e6) + " ms"
	case f >= 1e3:
		return figure(f/1e3) + " us"
	}
	return figure(f) + " ns"
}

// figure is a number with three digits, or as many as there are before the point.
func figure(f float64) string {
	if f >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}
