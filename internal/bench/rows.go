package main

import (
	"fmt"
	"regexp"
	"strings"
)

// A row is a line of the table: what is measured, what it is compared with, and what
// it may cost.
type row struct {
	name string
	pkg  string // below the module
	ours trial
	// base is what ours is compared with: a floor, a peer, or ours under other
	// circumstances. Without one, it is the figure itself that has a limit.
	base trial
	unit string // of the figures that are compared; "" for ns/op

	most         float64 // the ratio, or without base the figure, may be; 0: any
	allocs       *int    // for each operation there may be; nil: any
	instructions int     // for each operation there may be; 0: any
	slow         bool    // takes too long to prepare for -short
}

// A trial is a benchmark under certain circumstances.
type trial struct {
	bench string // with those that it is part of, as in "BenchmarkMatch/3mx/ours"
	procs int    // GOMAXPROCS; 0 for 1
	times int    // it is done, and 0 for as often as the plan has time
}

const (
	inSTS    = "internal/sts"
	inMTASTS = "mtasts"
	inCache  = "cache"
)

var rows = []row{
	against("floor", row{name: "ParseRecord", pkg: inSTS, most: 1.2, allocs: new(0), instructions: 750}, "BenchmarkParseRecord"),
	against("floor", row{name: "ParsePolicy, 3 mx", pkg: inSTS, most: 1.3, allocs: new(3), instructions: 3_200}, "BenchmarkParsePolicy/3mx"),
	against("floor", row{name: "ParsePolicy, 100 mx", pkg: inSTS, most: 1.3, allocs: new(3), instructions: 65_000}, "BenchmarkParsePolicy/100mx"),
	against("floor", row{name: "Match, 3 mx", pkg: inSTS, most: 1.5, allocs: new(0)}, "BenchmarkMatch/3mx"),
	against("floor", row{name: "Match, 100 mx", pkg: inSTS, most: 1.5, allocs: new(0)}, "BenchmarkMatch/100mx"),
	{name: "Match, 100 mx against 3", pkg: inSTS, most: 2,
		ours: trial{bench: "BenchmarkMatch/100mx/ours"}, base: trial{bench: "BenchmarkMatch/3mx/ours"}},

	cached("1", "policy"), cached("10k", "policy"), cached("100k", "policy"), cached("1M", "policy"),
	cached("1", "none"), cached("10k", "none"), cached("100k", "none"), cached("1M", "none"),
	scaling("1"), scaling("10k"), scaling("100k"),
	{name: "delivery", pkg: inMTASTS, ours: trial{bench: "BenchmarkDelivery/ours"}, most: 1500, allocs: new(6)},

	against("floor", row{name: "memory, policy", pkg: inMTASTS, unit: "octets/domain"}, "BenchmarkMemory/policy"),
	against("floor", row{name: "memory, none", pkg: inMTASTS, unit: "octets/domain"}, "BenchmarkMemory/none"),

	cold("cold, 1 worker, time", "1worker", "floor", 0, "ns/op", 1.1),
	cold("cold, 1 worker, CPU", "1worker", "floor", 0, "cpu-ns/op", 1.1),
	cold("cold, 1 worker, CPU, address known", "1worker", "known", 0, "cpu-ns/op", 0),
	cold("cold, 64 workers, time", "64workers", "floor", 10_000, "ns/op", 1.1),
	cold("cold, 64 workers, CPU", "64workers", "floor", 10_000, "cpu-ns/op", 1.1),
	{name: "cold, 50 ms away", pkg: inMTASTS, ours: trial{bench: "BenchmarkFar", times: 5}, unit: "round-trips/op", most: 4, slow: true},

	against("peer", row{name: "BoltPut, 1 writer", pkg: inCache, most: 1}, "BenchmarkBoltPut/1"),
	against("peer", row{name: "BoltPut, 100 writers", pkg: inCache, most: 1. / 3}, "BenchmarkBoltPut/100"),
	against("peer", row{name: "BoltOpen, 100k", pkg: inCache, most: 1.5}, "BenchmarkBoltOpen/100k"),
	against("peer", row{name: "BoltOpen, 1M", pkg: inCache, most: 1.5, slow: true}, "BenchmarkBoltOpen/1M"),
	against("peer", row{name: "BoltGet, 100k", pkg: inCache, most: 1.5}, "BenchmarkBoltGet/100k"),
	against("peer", row{name: "BoltGet, 1M", pkg: inCache, most: 1.5, slow: true}, "BenchmarkBoltGet/1M"),
	{name: "BoltGet, 1M against 10k", pkg: inCache, ours: trial{bench: "BenchmarkGrowth", times: 20}, unit: "growth-ratio", most: 1, slow: true},
	{name: "BoltDisk", pkg: inCache, ours: trial{bench: "BenchmarkBoltDisk", times: 1}, unit: "disk-ratio", most: 0.5, slow: true},
}

// against is r with the benchmarks "ours" and base below bench.
func against(base string, r row, bench string) row {
	r.ours.bench, r.base.bench = bench+"/ours", bench+"/"+base
	return r
}

// cached is PolicyFor with so many domains remembered.
func cached(domains, what string) row {
	r := row{name: "cached " + what + ", " + domains, pkg: inMTASTS, most: 1.5, allocs: new(0)}
	switch domains {
	case "1":
		r.instructions = 500 // of the larger ones, the setting up is what valgrind would look at
	case "1M":
		r.most, r.slow = 0, true
	}
	return against("floor", r, "BenchmarkPolicyForCached/"+domains+"/"+what)
}

// scaling is the throughput of PolicyFor on two cores, at least 1.6 times that of one.
func scaling(domains string) row {
	bench := "BenchmarkPolicyForParallel/" + domains + "/ours"
	return row{name: "cached, " + domains + ", 2 cores against 1", pkg: inMTASTS, most: 1 / 1.6,
		ours: trial{bench: bench, procs: 2}, base: trial{bench: bench, procs: 1}}
}

// cold is PolicyFor for domains of which nothing is known, so many in each round, or as
// many as there is time for if times is 0.
func cold(name, workers, base string, times int, unit string, most float64) row {
	bench := "BenchmarkCold/" + workers
	return row{name: name, pkg: inMTASTS, unit: unit, most: most,
		ours: trial{bench: bench + "/ours", procs: 2, times: times},
		base: trial{bench: bench + "/" + base, procs: 2, times: times}}
}

// pattern is the -test.bench that matches t's benchmark and no other.
func (t trial) pattern() string {
	levels := strings.Split(t.bench, "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	return strings.Join(levels, "/")
}

func (t trial) cores() int { return max(t.procs, 1) }

// line is the name at the start of the line that t's benchmark prints.
func (t trial) line() string {
	if t.cores() == 1 {
		return t.bench
	}
	return fmt.Sprintf("%s-%d", t.bench, t.cores())
}

// compared is the unit of the figures that are compared.
func (r row) compared() string {
	if r.unit == "" {
		return "ns/op"
	}
	return r.unit
}
