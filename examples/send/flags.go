package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
)

// config is the parsed command line.
type config struct {
	from, to string
	db       string
	network  cli.Network
	port     uint
	helo     string
	report   bool
}

const usage = `usage: send -from address -to address [flags] < message

Send delivers one message to one recipient, under the MTA-STS policy of the
recipient's domain. Standard error has a line for each decision. Its last line
is the outcome.

The exit status is 0 if the message was delivered, 75 if it is deferred, 69 if
it can never be delivered, and 64 if the command line is wrong.

Flags:
`

// parse parses the command line. It writes its errors to stderr. For -h it returns
// flag.ErrHelp.
func parse(args []string, stderr io.Writer) (*config, error) {
	c := &config{}
	f := flag.NewFlagSet("send", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&c.from, "from", "", "`address` of the sender, such as a@sender.example")
	f.StringVar(&c.to, "to", "", "`address` of the recipient")
	f.StringVar(&c.db, "db", "", "`file` for cached policies\n"+
		"(default go-mtasts/send.db in the user's cache directory)")
	f.UintVar(&c.port, "port", 25, "`port` of the MX hosts")
	f.StringVar(&c.helo, "helo", "", "`name` of this host in EHLO (default its host name)")
	f.BoolVar(&c.report, "report", false, "write the events for a TLSRPT report to standard output,\n"+
		"one JSON object a line")
	c.network.Define(f)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if err := c.check(f.Args()); err != nil {
		fmt.Fprintln(stderr, err)
		return nil, err
	}
	return c, nil
}

// check validates what the flag package does not, and sets the defaults that depend on the
// machine.
func (c *config) check(rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q: the message is read from standard input", rest[0])
	}
	if c.port == 0 || c.port > 65535 {
		return fmt.Errorf("-port %d: must be 1 to 65535", c.port)
	}
	if err := cli.CheckAddress(c.from); err != nil {
		return fmt.Errorf("-from %q: %w", c.from, err)
	}
	if err := cli.CheckAddress(c.to); err != nil {
		return fmt.Errorf("-to %q: %w", c.to, err)
	}
	if c.helo == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("%w; use -helo", err)
		}
		c.helo = name
	}
	if c.db == "" {
		directory, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("%w; use -db", err)
		}
		directory = filepath.Join(directory, "go-mtasts")
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return fmt.Errorf("%w; use -db", err)
		}
		c.db = filepath.Join(directory, "send.db")
	}
	return nil
}
