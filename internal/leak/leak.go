// Package leak lets a test binary fail in which a goroutine outlives the tests. Each
// package that starts goroutines, or whose tests do, has in its tests
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

// patience is how long goroutines may take that are about to end: what a test has
// closed may still have to notice.
const patience = 5 * time.Second

// Main runs the tests, and exits as they do, or with 1 if goroutines are left.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a TestMain that has something to do after the tests: it returns the
// exit status.
func Run(m *testing.M) int {
	before := goroutines()
	code := m.Run()
	if left := since(before, patience); code == 0 && len(left) > 0 {
		fmt.Printf("FAIL: %d goroutines outlive the tests:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	return code
}

// since returns the stacks of goroutines that were not there before, as soon as there
// are none or at the end of patience.
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

// forever reports whether a goroutine never ends by its nature: package os/signal has
// one from its first use on.
func forever(stack string) bool { return strings.Contains(stack, "\ncreated by os/signal.") }

// goroutines returns the stacks of all goroutines by their number.
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
