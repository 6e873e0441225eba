// Quickstart shows what MTA-STS does for a sending mail server. It needs no network and no
// set-up:
//
//	go run ./examples/quickstart
//
// It sends nine messages. Four of them must not arrive, because of an attacker. The Internet is
// simulated: DNS, policy hosts and a certificate authority in memory, and mail servers on
// loopback TCP sockets. The sender is real: the library's client with a bbolt file in a
// temporary directory, and net/smtp.
//
// Quickstart verifies what it prints. After each message it reads the mailboxes of all mail
// servers and the reported events, and compares them with what it expects. The exit status is 0
// if all nine outcomes are as expected, else 1. The week at the end would take a week: its
// output is that of a test.
//
// Start with steps.go, which has the nine messages. stage.go sends them, outcome.go has the
// comparison, week.go the week. The simulated Internet is in examples/internal/testnet, and the
// delivery, which is that of examples/send, in examples/internal/delivery.
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

// run plays the steps and prints them to w. It returns the numbers of those with an unexpected
// outcome. It stops at an error.
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
	defer s.Close()

	fmt.Fprintf(w, "     %-40s %-20s %s\n", "message", "MX host", "outcome")
	for i, step := range steps {
		got, err := s.play(ctx, step)
		if err != nil {
			return nil, err
		}
		if step.scene != "" {
			fmt.Fprintln(w, step.scene)
		}
		decision := "deferred"
		if got.receivedBy != "" {
			decision = "delivered"
		}
		fmt.Fprintf(w, "%3d  %-40s %-20s %s\n", i+1, step.title, got.mx, decision)
		for _, why := range got.why {
			fmt.Fprintln(w, wrap(why))
		}
		if got.outcome != step.want {
			wrong = append(wrong, i+1)
			fmt.Fprintln(w, wrap(fmt.Sprintf("WRONG: %v; expected: %v", got.outcome, step.want)))
		}
	}
	if len(wrong) > 0 {
		fmt.Fprintf(w, "\n%d of %d outcomes are not as expected.\n", len(wrong), len(steps))
		return wrong, nil
	}
	fmt.Fprintf(w, "\nThe mailboxes of the receiving servers confirm all %d outcomes.\n", len(steps))
	fmt.Fprint(w, weekAhead, weekPlayed, readNext)
	return nil, nil
}

// wrap indents s and breaks it into lines of at most 80 columns.
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
  mtasts/doc.go               what to call, what is guaranteed, how it fails
  examples/internal/delivery  the delivery loop of these nine messages
  examples/send               a program with this loop, for the real Internet
  examples/tlsrpt             TLS reports to the domains about such outcomes
  examples/unittest           how to test your own mail server
`
