// Quickstart shows what MTA-STS does for a sending mail server, on this machine
// alone, without network or set-up:
//
//	go run ./examples/quickstart
//
// It delivers nine messages, of which four must not arrive: an attacker is on the
// way. The Internet around it is made up: DNS, policy hosts and a certificate
// authority in memory, and mail servers on loopback TCP sockets. The sender is real:
// the library's client over a bbolt file in a temporary directory, and net/smtp.
//
// Nothing that it prints of them is taken on trust. After each message it opens the
// mailboxes of all the mail servers, reads what was reported, and compares that with
// what must be. The exit status is 0 if all nine went as they must, else 1. Only the
// week at the end, which takes a week, is printed as a test has played it.
//
// Reading order: steps.go has the nine messages, stage.go the world in which they
// are sent, outcome.go the comparison, week.go the week. The delivery is the one of
// examples/send, in examples/internal/delivery.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	wrong, err := run(context.Background(), os.Stdout, steps)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || len(wrong) > 0 {
		os.Exit(1)
	}
}

// run plays the steps, tells of them on w, and returns the numbers of those that
// did not go as they must. The error says why it could not go on.
func run(ctx context.Context, w io.Writer, steps []step) (wrong []int, err error) {
	dir, err := os.MkdirTemp("", "quickstart-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := newStage(dir)
	if err != nil {
		return nil, err
	}
	defer s.close()

	fmt.Fprintf(w, "     %-40s %-20s %s\n", "message", "MX host", "outcome")
	for i, step := range steps {
		got, err := s.play(ctx, step)
		if err != nil {
			return nil, err
		}
		if step.scene != "" {
			fmt.Fprintln(w, step.scene)
		}
		decision := "held back"
		if got.takenBy != "" {
			decision = "delivered"
		}
		fmt.Fprintf(w, "%3d  %-40s %-20s %s\n", i+1, step.title, got.mx, decision)
		for _, why := range got.why {
			fmt.Fprintln(w, wrap(why))
		}
		if got.outcome != step.want {
			wrong = append(wrong, i+1)
			fmt.Fprintln(w, wrap(fmt.Sprintf("WRONG: it is %v; expected: %v", got.outcome, step.want)))
		}
	}
	if len(wrong) > 0 {
		fmt.Fprintf(w, "\n%d of %d messages did not go as they must.\n", len(wrong), len(steps))
		return wrong, nil
	}
	fmt.Fprintf(w, "\nAll %d went as they must, say the mailboxes of the receiving servers.\n", len(steps))
	fmt.Fprint(w, weekAhead, weekPlayed, readNext)
	return nil, nil
}

// wrap indents s, in lines of at most 80 columns.
func wrap(s string) string {
	const indent, width = "     ", 80
	line := indent + s
	if len(line) <= width {
		return line
	}
	first := len(line) - len(strings.TrimLeft(line, " "))
	if end := strings.LastIndexByte(line[:width+1], ' '); end > first {
		return line[:end] + "\n" + wrap("  "+line[end+1:])
	}
	return line
}

const readNext = `
What to read next:
  mtasts/doc.go               what to call, what to rely on, which way it fails
  examples/internal/delivery  the delivery loop that was at work here
  examples/send               the same as a program, for the real Internet
  examples/unittest           how to test your own, attacks and years included
`
