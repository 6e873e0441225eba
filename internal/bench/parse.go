package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// figures are what a benchmark has printed of itself, by unit.
type figures map[string]float64

var errMissing = errors.New("there is no such benchmark")

// parse finds the line of the benchmark that prints itself as name, which must be the
// only one: after the name and the number of iterations, a number and its unit for
// each figure.
func parse(output, name string) (figures, error) {
	var found figures
	for scanner := bufio.NewScanner(strings.NewReader(output)); scanner.Scan(); {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 2 || fields[0] != name {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s: printed twice", name)
		}
		if n, err := strconv.Atoi(fields[1]); err != nil || n < 1 || len(fields)%2 != 0 || len(fields) < 4 {
			return nil, fmt.Errorf("%s: not the line of a benchmark: %q", name, scanner.Text())
		}
		found = make(figures)
		for i := 2; i < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
				return nil, fmt.Errorf("%s: %q is no figure", name, fields[i])
			}
			found[fields[i+1]] = value
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s: %w", name, errMissing)
	}
	return found, nil
}

// figure is the one in unit.
func (f figures) figure(unit string) (float64, error) {
	value, ok := f[unit]
	if !ok {
		return 0, fmt.Errorf("the benchmark tells no %s", unit)
	}
	return value, nil
}

// collected is how callgrind ends: "==123== Collected : 4567890".
var collected = regexp.MustCompile(`(?m)^==\d+== Collected : (\d+)$`)

// parseCallgrind returns the number of instructions that callgrind has counted.
func parseCallgrind(output string) (float64, error) {
	found := collected.FindStringSubmatch(output)
	if found == nil {
		return 0, fmt.Errorf("callgrind has counted nothing: %s", lastLines(output))
	}
	return strconv.ParseFloat(found[1], 64)
}

// lastLines is the end of what a program has printed, for an error.
func lastLines(output string) string {
	const most = 10
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// median of values, of which there is one at least.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
