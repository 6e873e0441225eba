// Mtasts-postfix is a socketmap server for Postfix's smtp_tls_policy_maps: it answers which
// domains have an MTA-STS policy, and which hosts the policy lists. See README.md for how to
// set it up, and "mtasts-postfix -h" for its flags.
//
// To read the source, start with answer.go: a query and its reply. attributes.go has the
// policies in Postfix's syntax, hosts.go the MX hosts and DANE. session.go is one connection,
// server.go all of them.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/resolver"
	"github.com/valkey-io/valkey-go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	os.Exit(run(ctx, hangUp, os.Args[1:], os.Stderr))
}

// run is main without the signals. It returns the exit status.
func run(ctx context.Context, hangUp <-chan os.Signal, args []string, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	level := slog.LevelInfo
	if cfg.log {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	first, err := readSettings(cfg.settings)
	if err != nil {
		log.Error("the configuration is wrong", "error", err)
		return 2
	}
	d := &daemon{cfg: cfg, log: log, started: first}
	d.apply(first)
	if err := d.run(ctx, hangUp); err != nil {
		log.Error("the server has ended", "error", err)
		return 1
	}
	return 0
}

// A daemon is the running program.
type daemon struct {
	cfg     *config
	log     *slog.Logger
	started *settings // at start

	settings atomic.Pointer[settings]
	testing  atomic.Pointer[string]
	events   eventLog
}

// apply makes settings current.
func (d *daemon) apply(s *settings) {
	d.settings.Store(s)
	d.testing.Store(&s.testing)
}

// reload reads the configuration file again. If it is wrong, nothing changes.
func (d *daemon) reload() {
	s, err := readSettings(d.cfg.settings)
	if err != nil {
		d.log.Error("the configuration is wrong, the previous one stays", "error", err)
		return
	}
	if s.needsRestart(d.started) {
		d.log.Warn("roots, network and quota apply after a restart")
	}
	d.apply(s)
	d.log.Info("configuration read", "file", d.cfg.settings)
}

func (d *daemon) run(ctx context.Context, hangUp <-chan os.Signal) error {
	listeners, web, err := d.listeners()
	if err != nil {
		return err
	}
	dns := resolver.System{Server: d.cfg.dns}
	client, err := openPolicies(d.cfg.db, d.cfg.redis, &mtasts.Options{
		Resolver:  dns,
		RootCAs:   d.started.pool,
		AllowNets: d.started.networks,
		Quota:     d.started.quota,
		Override:  func(domain string) (mtasts.Action, bool) { return d.settings.Load().action(domain) },
		Report:    d.events.add,
		Logger:    d.log,
	}, d.log)
	if err != nil {
		return err
	}
	a := &answers{client: client, hosts: newHosts(dns, d.dane(ctx, dns)), testing: &d.testing}
	s := newServer(a.answer, d.log)

	refresh, stop := context.WithCancel(context.Background())
	refreshed := make(chan error, 1)
	go func() { refreshed <- client.Run(refresh) }()
	status := &status{daemon: d, client: client, answers: a, server: s}
	stopWeb := status.serve(web)
	for _, l := range listeners {
		s.listen(l)
		d.log.Info("listening", "address", l.Addr().String())
	}
	d.notify("READY=1")

	for running := true; running; {
		select {
		case <-hangUp:
			d.notify(reloading())
			d.reload()
			d.notify("READY=1")
		case err = <-refreshed: // it ends only with an error
			running = false
		case <-ctx.Done():
			running = false
		}
	}
	d.notify("STOPPING=1")
	s.shutdown()
	stopWeb()
	stop()
	return errors.Join(err, client.Close())
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

// listeners returns the sockets for Postfix and for HTTP: those of the command line, or of
// systemd.
func (d *daemon) listeners() (socketmap, web []net.Listener, err error) {
	socketmap, web, err = activated()
	if err != nil {
		return nil, nil, err
	}
	addresses := d.cfg.listen
	if addresses == nil && socketmap == nil {
		addresses = []string{"127.0.0.1:8462"}
	}
	for _, address := range addresses {
		l, err := listenOn(address)
		if err != nil {
			return nil, nil, err
		}
		socketmap = append(socketmap, l)
	}
	if d.cfg.http != "" {
		l, err := net.Listen("tcp", d.cfg.http)
		if err != nil {
			return nil, nil, err
		}
		web = append(web, l)
	}
	return socketmap, web, nil
}

// dane reports whether DANE is on. With a resolver that does not validate, it is off: no
// answer would say that a TLSA record is authentic.
func (d *daemon) dane(ctx context.Context, dns dnsClient) bool {
	const off = "DANE is off: leave smtp_tls_security_level of Postfix at may"
	switch {
	case d.cfg.signed == "":
		d.log.Info(off)
		return false
	case !d.cfg.loopback():
		d.log.Warn(off, "reason", "-dns names no resolver on this machine")
		return false
	}
	validates, err := dns.LookupAuthenticated(ctx, "A", d.cfg.signed)
	switch {
	case err != nil:
		d.log.Warn("DANE is on, but the resolver does not answer", "error", err)
	case !validates:
		d.log.Warn(off, "reason", "the resolver of -dns does not validate")
		return false
	default:
		d.log.Info("DANE is on")
	}
	return true
}

func (d *daemon) notify(state string) {
	if err := notify(state); err != nil {
		d.log.Warn("cannot notify systemd", "error", err)
	}
}
