package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/netutil"
)

// The limits of the server.
const (
	headerLimit    = 5 * time.Second
	readLimit      = 10 * time.Second
	writeLimit     = diagnosisLimit + 15*time.Second
	idleLimit      = 10 * time.Second // idle connections are among the 256
	shutdownLimit  = 5 * time.Second  // for the answers under way
	maxHeader      = 8 << 10
	maxConnections = 256
	defaultListen  = "127.0.0.1:8460"
)

func flagsOfServe(f *flag.FlagSet, c *config) {
	f.StringVar(&c.listen, "listen", defaultListen, "")
	f.Func("host", "", func(s string) error {
		c.hosts = append(c.hosts, strings.Split(strings.ToLower(s), ",")...)
		return nil
	})
	networks(f, "proxy", &c.proxies)
	f.BoolVar(&c.demo, "demo", false, "")
	flagsOfProbe(f, c)
	flagsOfNetwork(f, c)
}

// serve is the command of that name. It ends with ctx.
func (p *program) serve(ctx context.Context, c *config) (int, error) {
	if len(c.names) > 0 {
		return exitUsage, usagef("serve takes no domain: the page asks for it")
	}
	q := &inquiry{opts: c.network(p.network)}
	if c.demo {
		var err error
		if q, err = demo(ctx, c); err != nil {
			return exitUnknown, err
		}
	}
	q.opts.Limit = diagnosisLimit
	listener, err := net.Listen("tcp", c.listen)
	if err != nil {
		return exitUnknown, err
	}
	handler := newWeb(q, c.hosts, c.proxies)
	defer handler.shared.close()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerLimit,
		ReadTimeout:       readLimit,
		WriteTimeout:      writeLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeader,
		ConnState:         (&conns{proxies: c.proxies, open: make(map[netip.Prefix]int)}).state,
		ErrorLog:          log.New(p.stderr, "lookup: ", 0),
	}
	fmt.Fprintf(p.stdout, "lookup serves http://%s/\n", listener.Addr())

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	select {
	case err := <-failed:
		return exitUnknown, err
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	if err := server.Shutdown(shutdown); errors.Is(err, context.DeadlineExceeded) {
		server.Close()
	}
	return exitFine, nil
}
