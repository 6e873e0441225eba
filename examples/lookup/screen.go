package main

import (
	"io"
	"os"
	"strconv"
	"strings"
)

const (
	defaultWidth = 80
	leastWidth   = 40
	mostWidth    = 100 // longer lines are hard to read
)

// A screen is where text goes.
type screen struct {
	io.Writer
	terminal bool
	colour   bool
	width    int // in columns
}

// newScreen returns a screen on file. COLUMNS has the width where there is no terminal to
// ask, and NO_COLOR means none (https://no-color.org).
func newScreen(file *os.File, getenv func(string) string) *screen {
	s := &screen{Writer: file, width: terminalWidth(file)}
	s.terminal = s.width > 0
	s.colour = s.terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	if s.width <= 0 {
		if s.width, _ = strconv.Atoi(getenv("COLUMNS")); s.width <= 0 {
			s.width = defaultWidth
		}
	}
	s.width = max(s.width, leastWidth)
	return s
}

func isPipe(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// The colours, of those which each terminal has in a legible shade.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint is text in a colour, where the screen has any.
func (s *screen) paint(colour, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// wrap breaks text into lines of at most width columns, at spaces but for words that are longer.
func wrap(text string, width int) (lines []string) {
	for len(text) > width {
		cut, next := width, width
		if space := strings.LastIndexByte(text[:width+1], ' '); space > 0 {
			if word, _, _ := strings.Cut(text[space+1:], " "); len(word) <= width {
				cut, next = space, space+1
			}
		}
		lines = append(lines, strings.TrimRight(text[:cut], " "))
		text = strings.TrimLeft(text[next:], " ")
	}
	return append(lines, text)
}
