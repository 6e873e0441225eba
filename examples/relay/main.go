// Mtasts-relay is an outbound mail relay that applies MTA-STS. It shows how a mail server with a
// queue adopts the library:
//
//	mtasts-relay -spool /var/lib/mtasts-relay
//
// It accepts mail by SMTP on a loopback address, and stores it on disk before it says so. It
// delivers to the MX hosts of the recipients' domains, or to a smart host, tries again for five
// days, and bounces what it cannot deliver. It can send TLS reports (RFC 8460).
//
// README.md says what it guarantees. The delivery is in examples/internal/delivery: start there with
// deliver.go. Here, submit.go accepts messages, spool.go stores them, queue.go decides what is tried
// when, attempt.go tries it and stores the outcome, dsn.go writes bounces.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/valkey-io/valkey-go"
)

// submissionLimit is how long a shutdown waits for a client to end its session.
const submissionLimit = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program even after DATA
	cfg, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(64) // EX_USAGE in sysexits.h
	case cfg.status:
		err = askStatus(cfg.spool, os.Stdout)
	default:
		err = run(ctx, cfg, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, cli.Printable(err.Error()))
		os.Exit(1)
	}
}

// run is the relay until ctx ends.
func run(ctx context.Context, cfg *config, stderr io.Writer) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	log := func(format string, args ...any) {
		fmt.Fprintln(stderr, cli.Printable(fmt.Sprintf(format, args...)))
	}
	if err := os.MkdirAll(cfg.spool, 0o700); err != nil {
		return err
	}
	sender := &cfg.sender
	sender.Log = log
	q := newQueue(cfg, sender)
	var background sync.WaitGroup
	if cfg.reports.Organization != "" {
		reports, failure := openReports(cfg, q, stderr)
		if failure != nil {
			return failure
		}
		defer func() { err = errors.Join(err, reports.Close()) }()
		cfg.policies.Report = reports.Report
		background.Go(func() { reports.Run(ctx) })
	}
	// The file of the policies is locked, so that no two relays have one spool.
	policies, err := openPolicies(filepath.Join(cfg.spool, "policies.db"), cfg.redis, &cfg.policies, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, policies.Close()) }()
	sender.Policies = policies
	if err := q.load(); err != nil {
		return err
	}
	status, err := net.Listen("unix", statusSocket(cfg.spool))
	if err != nil {
		return err
	}
	defer status.Close()
	submissions, err := net.Listen("tcp", cfg.listen)
	if err != nil {
		return err
	}

	log("listening on %s, %d messages in the queue", submissions.Addr(), len(q.messages))
	server := newServer(ctx, q)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(netutil.LimitListener(wholeListener{submissions}, maxSessions)) }()
	background.Go(func() { policies.Run(ctx) })
	background.Go(func() { serveStatus(status, q) })
	background.Go(func() { q.run(ctx) })
	select {
	case <-ctx.Done():
	case err = <-failed:
		stop()
	}
	log("closing down")
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), submissionLimit)
	defer cancel()
	server.Shutdown(limit) // a client that is too slow gets no reply, and sends its message again
	status.Close()
	background.Wait() // q sends what has begun
	sender.Close()
	return err
}

// openPolicies opens the client. With -redis, the file is the local copy of what the server has.
func openPolicies(file string, redis *valkey.ClientOption, opts *mtasts.Options, log *slog.Logger) (*mtasts.Client, error) {
	if redis == nil {
		return mtasts.Open(file, opts)
	}
	if redis.TLSConfig != nil {
		redis.TLSConfig.RootCAs = opts.RootCAs
	}
	store, err := rediscache.Open(*redis, &rediscache.Options{Fallback: file, Logger: log})
	if err != nil {
		return nil, err
	}
	return mtasts.New(store, opts), nil
}

// openReports returns what counts outcomes and mails the reports, through q.
func openReports(cfg *config, q *queue, stderr io.Writer) (*tlsrpt.Collector, error) {
	store, err := cache.OpenBolt(filepath.Join(cfg.spool, "reports.db"))
	if err != nil {
		return nil, err
	}
	cfg.reports.Log = slog.New(slog.NewTextHandler(stderr, nil))
	cfg.reports.SendMail = func(_ context.Context, from, to string, message []byte) error {
		return q.accept(from, []string{to}, bytes.NewReader(message))
	}
	reports, err := tlsrpt.New(store, cfg.reports)
	if err != nil {
		store.Close()
		return nil, err
	}
	return reports, nil
}
