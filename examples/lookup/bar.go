package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
)

// barPeriod is the least time between two drawings.
const barPeriod = 100 * time.Millisecond

// A bar shows on a terminal how far the work has come. A nil one shows nothing. Its methods may
// be called concurrently.
type bar struct {
	screen *screen
	total  int

	mu    sync.Mutex
	done  int
	drawn time.Time
}

// newBar returns a bar for total things; nil if there are fewer than two, or no terminal.
func newBar(s *screen, total int) *bar {
	if s == nil || !s.terminal || total < 2 {
		return nil
	}
	b := &bar{screen: s, total: total}
	b.draw("")
	return b
}

// step says that another one, name, is done.
func (b *bar) step(name string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	if time.Since(b.drawn) >= barPeriod {
		b.draw(name)
	}
}

func (b *bar) draw(name string) {
	b.drawn = time.Now()
	const length = 20
	full := length * b.done / b.total
	line := fmt.Sprintf("[%s%s] %d of %d  %s", strings.Repeat("#", full), strings.Repeat(".", length-full), b.done, b.total, cli.Printable(name))
	fmt.Fprint(b.screen, "\r"+line[:min(len(line), b.screen.width-1)]+"\x1b[K")
}

// without has write write to the terminal, without the bar.
func (b *bar) without(write func() error) error {
	if b == nil {
		return write()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprint(b.screen, "\r\x1b[K")
	b.drawn = time.Time{}
	return write()
}
