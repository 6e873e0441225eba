package main

import (
	"context"
	"strconv"
	"time"
)

// A plan is how much time there is.
type plan struct {
	passes    int           // over all rows, in each of which a row has a share of its rounds
	benchtime time.Duration // for each run
	budget    time.Duration // after which a row begins no further round
	least     int           // rounds whatever the budget
	most      int           // rounds
	times     int           // in place of a trial's own, if that is more; 0: no limit
	short     bool          // neither slow rows, nor a verdict on anything but allocations and instructions
}

var (
	full  = plan{passes: 3, benchtime: 200 * time.Millisecond, budget: 9 * time.Second, least: 3, most: 9}
	quick = plan{passes: 1, benchtime: 20 * time.Millisecond, budget: 200 * time.Millisecond, least: 1, most: 3, times: 300, short: true}
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
	done map[pair]*series
}

// A series is the rounds of a pair so far, and for how long they took.
type series struct {
	rounds []round
	spent  time.Duration
	err    error // after which there are no more
}

type pair struct {
	pkg        string
	ours, base trial
}

func (r row) pair() pair { return pair{r.pkg, r.ours, r.base} }

func newMeter(s *suite, p plan) *meter {
	return &meter{suite: s, plan: p, done: make(map[pair]*series)}
}

// measure tells what the rounds of r have shown, if it was played.
func (m *meter) measure(ctx context.Context, r row) (res result) {
	done := m.done[r.pair()]
	if done == nil {
		return result{skipped: true}
	}
	err := done.err
	if err == nil {
		res, err = summarize(r, done.rounds)
	}
	if err == nil && r.instructions > 0 && m.valgrind != "" {
		res.instructions, err = m.suite.instructions(ctx, r.pkg, r.ours, max(callgrindWork/r.instructions, 1))
	}
	res.err = err
	return res
}

// play plays the rounds of r up to those of a pass, the first of which is 1.
func (m *meter) play(ctx context.Context, r row, pass int) {
	if r.slow && m.short {
		return
	}
	p := r.pair()
	if m.done[p] == nil {
		m.done[p] = new(series)
	}
	done, share := m.done[p], float64(pass)/float64(m.passes)
	for done.err == nil {
		n := float64(len(done.rounds))
		if n >= share*float64(m.least) && (n >= share*float64(m.most) || done.spent.Seconds() >= share*m.budget.Seconds()) {
			return
		}
		start := time.Now()
		this, err := m.round(ctx, p)
		done.rounds, done.err = append(done.rounds, this), err
		done.spent += time.Since(start)
	}
}

// round runs ours and then base, so that both see the same machine.
func (m *meter) round(ctx context.Context, p pair) (this round, err error) {
	this.ours, err = m.run(ctx, p.pkg, p.ours, m.benchtimeOf(p.ours))
	if err == nil && p.base.bench != "" {
		this.base, err = m.run(ctx, p.pkg, p.base, m.benchtimeOf(p.base))
	}
	return this, err
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
