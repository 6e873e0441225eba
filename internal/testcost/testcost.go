// Package testcost bounds the CPU time that untrusted input may cost.
package testcost

import (
	"math"
	"runtime/debug"
	"testing"
	"time"
)

// Limit is the CPU time that one untrusted input may cost.
const Limit = 10 * time.Millisecond

// underRace is how many times slower the race detector makes code that mostly reads memory.
const underRace = 20

// Under fails the test unless work takes less CPU time than [Limit]. work must wait for
// nothing but the loopback interface.
//
// A goroutine uses no more CPU time than it takes. So work is within the limit if one of
// many tries takes less time than that. A busy machine can only make a try longer.
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
