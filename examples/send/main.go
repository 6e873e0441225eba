// Send delivers one message to one recipient, as a mail server does, under the
// MTA-STS policy of the recipient's domain:
//
//	go run ./examples/send -from a@sender.example -to b@example.com < message
//
// It connects to port 25 of other networks, which many networks block. It caches policies in a
// file, for later runs. Standard error has a line for each decision. Its last line is the
// outcome. With -report, standard output has the events for a TLSRPT report, one JSON object a
// line.
//
// The exit status is that of sysexits.h: 0 if the message was delivered, 75 if it is deferred,
// also because of a policy, 69 if it can never be delivered, and 64 if the command line is
// wrong. ("go run" replaces all but 0 with 1. Use "go build".)
//
// The delivery is in examples/internal/delivery. Start with its deliver.go.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/mtasts"
)

// From sysexits.h.
const (
	exitDelivered = 0
	exitUsage     = 64
	exitRejected  = 69
	exitDeferred  = 75
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program even after DATA
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main without global state. It returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	log := func(format string, args ...any) {
		fmt.Fprintln(stderr, cli.Printable(fmt.Sprintf(format, args...)))
	}
	cfg, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDelivered
	case err != nil:
		return exitUsage
	}
	data, err := io.ReadAll(stdin)
	if err != nil {
		log("deferred: read the message: %v", err)
		return exitDeferred
	}

	opts := &mtasts.Options{Resolver: cfg.network.DNS, RootCAs: cfg.network.Roots, AllowNets: cfg.network.Allow}
	if cfg.report {
		opts.Report = reporter(stdout)
	}
	policies, err := mtasts.Open(cfg.db, opts)
	if err != nil {
		log("deferred: %v", err)
		return exitDeferred
	}
	defer func() {
		if err := policies.Close(); err != nil {
			log("%v", err)
		}
	}()

	sender := &delivery.Sender{
		Policies: policies,
		DNS:      cfg.network.DNS,
		Roots:    cfg.network.Roots,
		Dial:     (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		Port:     strconv.FormatUint(uint64(cfg.port), 10),
		Helo:     cfg.helo,
		Log:      log,
	}
	defer sender.Close()
	return send(ctx, sender, delivery.Message{
		From: cfg.from,
		To:   []string{cfg.to},
		Data: bytes.NewReader(data),
		Last: true, // there is no queue
	})
}

// send delivers m and logs the outcome.
func send(ctx context.Context, sender *delivery.Sender, m delivery.Message) int {
	err := sender.Deliver(ctx, m).Err()
	_, rejected := errors.AsType[*delivery.Rejection](err)
	switch {
	case err == nil:
		sender.Log("delivered")
		return exitDelivered
	case rejected, errors.Is(err, mtasts.ErrInvalidDomain):
		sender.Log("failed: %v", err)
		return exitRejected
	default:
		sender.Log("deferred: %v", err)
		return exitDeferred
	}
}
