package leak

import (
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestAGoroutineThatStaysIsReported(t *testing.T) {
	before := goroutines()
	stay := make(chan struct{})
	go func() { <-stay }()
	left := since(before, 0)
	if len(left) != 1 || !strings.Contains(left[0], "TestAGoroutineThatStaysIsReported") {
		t.Errorf("left: %q; want the one goroutine", left)
	}
	close(stay)
	if left := since(before, time.Minute); len(left) > 0 {
		t.Errorf("left: %q; want none, for it has ended", left)
	}
}

func TestAGoroutineMayTakeTimeToEnd(t *testing.T) {
	before := goroutines()
	end := make(chan struct{})
	go func() { <-end }()
	time.AfterFunc(50*time.Millisecond, func() { close(end) })
	if left := since(before, time.Minute); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestAGoroutineOfOSSignalIsIgnored(t *testing.T) {
	before := goroutines()
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	signal.Stop(c)
	if left := since(before, 0); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
