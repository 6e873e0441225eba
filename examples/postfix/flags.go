package main

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/valkey-io/valkey-go"
)

// config is the parsed command line.
type config struct {
	listen   []string // host:port or unix:/path
	http     string   // host:port; "" for none
	db       string
	redis    *valkey.ClientOption // nil for none
	dns      string               // address:port; "" for the system's
	signed   string               // "" for no DANE
	settings string               // file
	allow    bool                 // changes on the status page
	log      bool                 // debug
}

const usage = `usage: mtasts-postfix [flags]

Mtasts-postfix tells Postfix which domains have an MTA-STS policy (RFC 8461), and
how to deliver to them. It is a socketmap server for smtp_tls_policy_maps:

  smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8462:mta-sts

The map mta-sts is for Postfix 3.4 and later. The map mta-sts-tlsrpt is for
Postfix 3.10 and later: Postfix then reports by TLSRPT (RFC 8460).

SIGHUP reads the file of -config again. SIGTERM ends the server after the
queries that have arrived are answered. The exit status is 0 after a signal, 2 if
the command line or the file of -config is wrong, and 1 after any other error.

Flags:
`

// parseFlags parses the command line. It writes its errors to stderr. For -h it returns
// flag.ErrHelp.
func parseFlags(args []string, stderr io.Writer) (*config, error) {
	c := &config{}
	f := flag.NewFlagSet("mtasts-postfix", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.Func("listen", "`address` for Postfix: host:port or unix:/path; may be repeated\n"+
		"(default the sockets of systemd, or else 127.0.0.1:8462)", func(s string) error {
		c.listen = append(c.listen, s)
		return nil
	})
	f.StringVar(&c.http, "http", "", "`host:port` for metrics, health and the status page (default none)")
	f.BoolVar(&c.allow, "allow-forget", false, "let the status page remove policies")
	f.StringVar(&c.db, "db", "/var/lib/mtasts-postfix/policies.db", "`file` for cached policies")
	f.Func("redis", "Redis or Valkey `server` that relays share: host:port, a URL,\n"+
		"or the /path of a file that has one (default none)", func(s string) error {
		option, err := rediscache.ParseAddress(s)
		c.redis = &option
		return err
	})
	f.StringVar(&c.settings, "config", "", "`file` with exemptions and other settings (default none)")
	f.StringVar(&c.signed, "dane", "org", "signed `name` in the DNS, which shows that the resolver of -dns\n"+
		"validates; \"off\" does without DANE")
	f.BoolVar(&c.log, "debug", false, "log more")
	f.Func("dns", "`address:port` of the DNS resolver (default the system's)\n"+
		"DANE needs one that validates, on this machine", func(s string) error {
		server, err := netip.ParseAddrPort(s)
		c.dns = server.String()
		return err
	})
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q", f.Arg(0))
		fmt.Fprintln(stderr, err)
		return nil, err
	}
	if strings.EqualFold(c.signed, "off") {
		c.signed = ""
	}
	return c, nil
}

// loopback reports whether the resolver is on this machine. The AD bit of any other can be
// forged on the way.
func (c *config) loopback() bool {
	server, err := netip.ParseAddrPort(c.dns)
	return err == nil && server.Addr().IsLoopback()
}
