package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/mtasts/go-mtasts/cache/rediscache"
	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/valkey-io/valkey-go"
)

// config is the parsed command line.
type config struct {
	listen    string
	spool     string
	queueTime time.Duration
	retry     time.Duration // see queue
	status    bool
	sender    delivery.Sender // still without Policies
	policies  mtasts.Options
	redis     *valkey.ClientOption // nil for none
	reports   tlsrpt.Options       // without Organization if there are none
}

const usage = `usage: mtasts-relay -spool directory [flags]
       mtasts-relay -spool directory -status

Mtasts-relay accepts mail on this machine and delivers it to the MX hosts of the
recipients, or to a smart host, under the MTA-STS policies of their domains.
Standard error has a line for each decision.

Flags:
`

// parse parses the command line. It writes its errors to stderr. For -h it returns
// flag.ErrHelp.
func parse(args []string, stderr io.Writer) (*config, error) {
	c := &config{retry: 5 * time.Minute}
	var network cli.Network
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	c.sender = delivery.Sender{Dial: dialer.DialContext, Port: "25", KeepIdle: 10 * time.Second}
	f := flag.NewFlagSet("mtasts-relay", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&c.spool, "spool", "", "`directory` for messages, policies and reports")
	f.StringVar(&c.listen, "listen", "127.0.0.1:2525", "loopback `address:port` for SMTP")
	f.StringVar(&c.sender.Helo, "hostname", "", "`name` of this host in EHLO and bounces (default its host name)")
	f.StringVar(&c.sender.SmartHost, "smarthost", "", "`host[:port]` that gets all mail, under the policy of its name")
	f.DurationVar(&c.queueTime, "queue-time", 5*24*time.Hour, "`time` until a message is bounced")
	network.Define(f)
	f.Func("redis", "Redis or Valkey `server` that relays share: host:port, a URL,\n"+
		"or the /path of a file that has one (default none)", func(s string) error {
		option, err := rediscache.ParseAddress(s)
		c.redis = &option
		return err
	})
	f.StringVar(&c.reports.Organization, "report-organization", "",
		"`name` of who sends TLS reports (RFC 8460); without it none\nare sent")
	f.StringVar(&c.reports.Contact, "report-contact", "", "mail `address` of somebody responsible for the reports")
	f.StringVar(&c.reports.From, "report-from", "", "mail `address` from which the reports come")
	f.BoolVar(&c.status, "status", false, "print the queue and the policies of the running relay")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	c.sender.DNS, c.policies.Resolver, c.reports.Resolver = network.DNS, network.DNS, network.DNS
	c.sender.Roots, c.policies.RootCAs, c.reports.RootCAs = network.Roots, network.Roots, network.Roots
	c.policies.AllowNets, c.reports.AllowNets = network.Allow, network.Allow
	if err := c.check(f.Args()); err != nil {
		fmt.Fprintln(stderr, err)
		return nil, err
	}
	return c, nil
}

// check validates what the flag package does not, and sets the defaults that depend on the
// machine.
func (c *config) check(rest []string) error {
	if c.sender.Helo == "" {
		c.sender.Helo, _ = os.Hostname()
	}
	if host, port, err := net.SplitHostPort(c.sender.SmartHost); err == nil {
		c.sender.SmartHost, c.sender.Port = host, port
	}
	listen, listenErr := netip.ParseAddrPort(c.listen)
	port, portErr := strconv.ParseUint(c.sender.Port, 10, 16)
	switch r := c.reports; {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case c.spool == "":
		return errors.New("-spool is missing")
	case listenErr != nil || !listen.Addr().IsLoopback():
		return fmt.Errorf("-listen %s: must be a loopback address and a port, such as 127.0.0.1:2525", c.listen)
	case c.queueTime <= 0:
		return fmt.Errorf("-queue-time %s: must be more than 0", c.queueTime)
	case !isHost(c.sender.Helo):
		return fmt.Errorf("-hostname %q: must be a name", c.sender.Helo)
	case c.sender.SmartHost != "" && !isHost(c.sender.SmartHost):
		return fmt.Errorf("-smarthost %q: must be a name: an address has no policy", c.sender.SmartHost)
	case portErr != nil || port == 0:
		return fmt.Errorf("-smarthost: port %q: must be 1 to 65535", c.sender.Port)
	case r.Organization+r.Contact+r.From == "":
		return nil
	case r.Organization == "" || cli.CheckAddress(r.Contact) != nil || cli.CheckAddress(r.From) != nil:
		return errors.New("reports need -report-organization, and mail addresses as -report-contact and -report-from")
	}
	return nil
}

// isHost reports whether s is the name of a host, and no address.
func isHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && cli.CheckAddress("postmaster@"+s) == nil
}
