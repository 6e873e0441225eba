// Lookup says what a sender under MTA-STS (RFC 8461) does with mail for a domain, and why.
// Begin with README.md, or with
//
//	go run ./examples/lookup -demo
//
// Reading order: diagnose.go asks, text.go and way.go print one report, table.go prints
// many, html.go makes a page, serve.go and web.go serve it, store.go and warm.go are about a
// sender's cache, demo.go is the demo.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

// The exit statuses.
const (
	exitFine     = 0
	exitFindings = 1 // something is to be mended
	exitUnknown  = 2 // something could not be found out or done, and nothing is to be mended
	exitUsage    = 64
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends a program that hangs in a write
	p := &program{
		stdin:  os.Stdin,
		stdout: newScreen(os.Stdout, os.Getenv),
		stderr: newScreen(os.Stderr, os.Getenv),
	}
	// A bar would be among what the reader of a pipe prints to the same terminal.
	if !isPipe(os.Stdout) {
		p.progress = p.stderr
	}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// A program is lookup with all that it touches.
type program struct {
	stdin          io.Reader
	stdout, stderr *screen
	progress       *screen // for progress bars, which only a terminal shows; nil: none

	// network is where the domains are. Its zero value is the Internet; flags add to it.
	network diagnose.Options
}

// commands are the words that the command line may begin with. Without one it is diagnose.
var commands = map[string]struct {
	flags func(*flag.FlagSet, *config)
	run   func(*program, context.Context, *config) (status int, err error)
}{
	"":       {flagsOfDiagnosis, (*program).diagnose},
	"cached": {flagsOfStore, (*program).cached},
	"forget": {flagsOfStore, (*program).forget},
	"check":  {func(*flag.FlagSet, *config) {}, (*program).check},
	"warm":   {flagsOfWarm, (*program).warm},
	"serve":  {flagsOfServe, (*program).serve},
}

// A usageError is a wrong command line. Nothing has been done.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run runs a command line and returns the exit status.
func (p *program) run(ctx context.Context, args []string) int {
	name := ""
	if len(args) > 0 && args[0] != "" {
		if _, ok := commands[args[0]]; ok {
			name, args = args[0], args[1:]
		}
	}
	command := commands[name]
	status := exitUsage
	cfg, err := parse(args, command.flags)
	switch {
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(p.stdout, usage)
		return exitFine
	case err != nil:
		err = usageError{err}
	default:
		status, err = command.run(p, ctx, cfg)
	}
	if err != nil {
		fmt.Fprintln(p.stderr, "lookup: "+cli.Printable(err.Error()))
	}
	if _, wrong := errors.AsType[usageError](err); wrong {
		fmt.Fprintln(p.stderr, "Try 'lookup -h'.")
		return exitUsage
	}
	return status
}
