package main

import (
	"context"
	"strconv"
	"time"
)

// A plan is how much time there is.
type plan struct {
	benchtime time.Duration // for each run
	budget    time.Duration // after which a row begins no further round
	least     int           // rounds whatever the budget
	most      int           // rounds
	times     int           // in place of a trial's own, if that is more; 0: no limit
	short     bool          // neither slow rows, nor a verdict on anything but allocations and instructions
}

var (
	full  = plan{benchtime: 200 * time.Millisecond, budget: 7 * time.Second, least: 3, most: 9}
	quick = plan{benchtime: 20 * time.Millisecond, budget: 200 * time.Millisecond, least: 1, most: 3, times: 300, short: true}
)

// callgrindWork is how many instructions two runs under callgrind differ by, about:
// as many as drown what the Go runtime does on its own.
const callgrindWork = 20_000_000

// A result is what a row has shown.
type result struct {
	skipped bool
	err     error

	ours, base, ratio float64 // medians; base and ratio are 0 without a base
	allocs            float64
	instructions      float64 // 0 if not counted
}

// A round is a run of each of two benchmarks, or of one.
type round struct{ ours, base figures }

// A meter runs the benchmarks. Rows with the same benchmarks share the rounds.
type meter struct {
	*suite
	plan
	done map[pair][]round
}

type pair struct {
	pkg        string
	ours, base trial
}

func newMeter(s *suite, p plan) *meter {
	return &meter{suite: s, plan: p, done: make(map[pair][]round)}
}

func (m *meter) measure(ctx context.Context, r row) (res result) {
	if r.slow && m.short {
		return result{skipped: true}
	}
	rounds, err := m.rounds(ctx, pair{r.pkg, r.ours, r.base})
	if err == nil {
		res, err = summarize(r, rounds)
	}
	if err == nil && r.instructions > 0 && m.valgrind != "" {
		res.instructions, err = m.suite.instructions(ctx, r.pkg, r.ours, max(callgrindWork/r.instructions, 1))
	}
	res.err = err
	return res
}

// rounds runs ours and base in turns, so that both see the same machine.
func (m *meter) rounds(ctx context.Context, p pair) (rounds []round, err error) {
	if rounds, ok := m.done[p]; ok {
		return rounds, nil
	}
	for start := time.Now(); len(rounds) < m.least || len(rounds) < m.most && time.Since(start) < m.budget; {
		var this round
		if this.ours, err = m.run(ctx, p.pkg, p.ours, m.benchtimeOf(p.ours)); err != nil {
			return nil, err
		}
		if p.base.bench != "" {
			if this.base, err = m.run(ctx, p.pkg, p.base, m.benchtimeOf(p.base)); err != nil {
				return nil, err
			}
		}
		rounds = append(rounds, this)
	}
	m.done[p] = rounds
	return rounds, nil
}

// benchtimeOf is the -test.benchtime for t.
func (m *meter) benchtimeOf(t trial) string {
	switch {
	case t.times == 0 && t.cores() > 1:
		// It takes some 20 ms until the system has all cores at work.
		return (3 * m.benchtime).String()
	case t.times == 0:
		return m.benchtime.String()
	case m.times > 0:
		return strconv.Itoa(min(t.times, m.times)) + "x"
	}
	return strconv.Itoa(t.times) + "x"
}

// summarize takes the medians. That of the ratios is not the ratio of the medians: a
// machine that is slow for a while is so for both sides of a round.
func summarize(r row, rounds []round) (res result, err error) {
	var ours, base, ratios, allocs []float64
	for _, this := range rounds {
		o, err := this.ours.figure(r.compared())
		if err != nil {
			return result{}, err
		}
		ours = append(ours, o)
		if r.base.bench != "" {
			b, err := this.base.figure(r.compared())
			if err != nil {
				return result{}, err
			}
			base, ratios = append(base, b), append(ratios, o/b)
		}
		a, err := this.ours.figure("allocs/op")
		if err != nil {
			return result{}, err
		}
		allocs = append(allocs, a)
	}
	res = result{ours: median(ours), allocs: median(allocs)}
	if r.base.bench != "" {
		res.base, res.ratio = median(base), median(ratios)
	}
	return res, nil
}
