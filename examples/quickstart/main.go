// Quickstart shows what MTA-STS does for a sending mail server, on this machine
// alone, without network or set-up:
//
//	go run ./examples/quickstart
//
// It delivers eight messages, of which four must not arrive: an attacker is on the
// way. The Internet around it is made up: DNS, policy hosts and a certificate
// authority in memory, and mail servers on loopback TCP sockets. The sender is real:
// the library's client over a bbolt file in a temporary directory, and net/smtp.
//
// Nothing that it prints is taken on trust. After each message it looks into the
// mailboxes of all the mail servers, and at what was reported, and compares that
// with what must be. The exit status is 0 if all eight went as they must, else 1.
//
// Reading order: steps.go has the eight messages, stage.go the world in which they
// are sent, outcome.go the comparison. The delivery is the one of examples/send, in
// examples/internal/delivery.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
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

	fmt.Fprintf(w, "     %-40s %-20s %s\n", "message", "MX host", "outcome, and why")
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
		fmt.Fprintf(w, "     %s\n", got.why)
		if got.outcome != step.want {
			wrong = append(wrong, i+1)
			fmt.Fprintf(w, "     WRONG: it is %v; expected: %v\n", got.outcome, step.want)
		}
	}
	if len(wrong) > 0 {
		fmt.Fprintf(w, "\n%d of %d messages did not go as they must.\n", len(wrong), len(steps))
		return wrong, nil
	}
	fmt.Fprintf(w, "\nAll %d went as they must, say the mailboxes of the receiving servers.\n", len(steps))
	return nil, nil
}
