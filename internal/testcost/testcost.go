// Package testcost lets a test say how much CPU an answer may cost, [Under], and a
// benchmark ask on all cores, [OnAllCores].
package testcost

import (
	"math"
	"runtime/debug"
	"testing"
	"time"
)

// Limit is what one answer of a stranger's may cost.
const Limit = 10 * time.Millisecond

// underRace is how much slower the race detector makes code that does nothing
// but look at memory.
const underRace = 20

// Under fails the test unless work, which must not wait for anything but
// loopback, takes less CPU time than [Limit].
//
// A goroutine spends no more CPU than the time that it takes, so the least time
// of many tries is a bound that a busy machine can only raise, and the first
// try below the limit settles the matter.
func Under(t testing.TB, what string, work func()) {
	t.Helper()
	limit := Limit
	if race() {
		limit *= underRace
	}
	least := time.Duration(math.MaxInt64)
	for range 100 {
		start := time.Now()
		work()
		if least = min(least, time.Since(start)); least < limit {
			return
		}
	}
	t.Errorf("%s: takes %v at least, the limit is %v", what, least, limit)
}

// race reports whether the binary was built with the race detector.
func race() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}
