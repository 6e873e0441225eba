// Package leak makes a test binary fail if a goroutine outlives the tests. A package that
// starts goroutines, in its code or its tests, has in its tests
//
//	func TestMain(m *testing.M) { leak.Main(m) }
package leak

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long goroutines may take to end after the tests.
const patience = 5 * time.Second

// Main runs the tests and exits with their status, or with 1 if goroutines are left.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run runs the tests and returns the exit status. It is for a TestMain that has to clean
// up after the tests.
func Run(m *testing.M) int {
	before := goroutines()
	code := m.Run()
	if left := since(before, patience); code == 0 && len(left) > 0 {
		fmt.Printf("FAIL: %d goroutines outlive the tests; end each before its test returns:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	return code
}

// since waits until no goroutine is left that was not there before, and returns nil. If
// patience ends first, it returns the stacks of those that are left.
func since(before map[string]string, patience time.Duration) (left []string) {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		left = nil
		for id, stack := range goroutines() {
			if _, known := before[id]; !known && !forever(stack) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			slices.Sort(left)
			return left
		}
	}
}

// forever reports whether a goroutine never ends by design. Package os/signal has one
// from its first use on.
func forever(stack string) bool { return strings.Contains(stack, "\ncreated by os/signal.") }

// goroutines returns the stacks of all goroutines by their id.
func goroutines() map[string]string {
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	all := make(map[string]string)
	for stack := range strings.SplitSeq(strings.TrimSpace(string(buf[:n])), "\n\n") {
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		all[id] = stack
	}
	return all
}
