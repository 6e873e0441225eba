package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/resolver"
)

// config is what the command line says.
type config struct {
	names []string // the arguments that are no flags

	json, probe, demo bool
	helo              string
	db                string
	html              string // the file for a page

	listen  string
	hosts   []string
	proxies []netip.Prefix

	dns   string         // "" for the machine's own
	roots *x509.CertPool // nil for the system's
	allow []netip.Prefix
}

// parse reads the arguments of a command. Flags may stand before and behind the others.
func parse(args []string, define func(*flag.FlagSet, *config)) (*config, error) {
	c := &config{}
	f := flag.NewFlagSet("lookup", flag.ContinueOnError)
	f.SetOutput(io.Discard) // run writes the error
	define(f, c)
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		rest := f.Args()
		if used := len(args) - len(rest); len(rest) == 0 || used > 0 && args[used-1] == "--" {
			c.names = append(c.names, rest...)
			return c, nil
		}
		c.names, args = append(c.names, rest[0]), rest[1:]
	}
}

func flagsOfDiagnosis(f *flag.FlagSet, c *config) {
	f.BoolVar(&c.json, "json", false, "")
	f.StringVar(&c.html, "html", "", "")
	f.BoolVar(&c.demo, "demo", false, "")
	flagsOfProbe(f, c)
	flagsOfWarm(f, c)
}

func flagsOfProbe(f *flag.FlagSet, c *config) {
	f.BoolVar(&c.probe, "probe", false, "")
	f.StringVar(&c.helo, "helo", "", "")
}

func flagsOfStore(f *flag.FlagSet, c *config) { f.StringVar(&c.db, "db", "", "") }

func flagsOfWarm(f *flag.FlagSet, c *config) {
	flagsOfStore(f, c)
	flagsOfNetwork(f, c)
}

func flagsOfNetwork(f *flag.FlagSet, c *config) {
	f.Func("dns", "", func(s string) error {
		server, err := netip.ParseAddrPort(s)
		c.dns = server.String()
		return err
	})
	f.Func("roots", "", func(s string) (err error) {
		c.roots, err = cli.ReadRoots(s)
		return err
	})
	networks(f, "allow", &c.allow)
}

// networks defines a flag for a list of networks.
func networks(f *flag.FlagSet, name string, list *[]netip.Prefix) {
	f.Func(name, "", func(s string) error {
		for field := range strings.SplitSeq(s, ",") {
			prefix, err := netip.ParsePrefix(field)
			if err != nil {
				return err
			}
			*list = append(*list, prefix)
		}
		return nil
	})
}

// network returns where the domains are: in base, unless a flag says otherwise.
func (c *config) network(base diagnose.Options) diagnose.Options {
	if base.Resolver == nil {
		base.Resolver = resolver.System{Server: c.dns}
	}
	if c.roots != nil {
		base.RootCAs = c.roots
	}
	base.AllowNets = append(base.AllowNets, c.allow...)
	base.Helo = c.helo
	base.Probe = c.probe
	return base
}

// readInput reads a list from standard input, and ends with ctx: a terminal may have nobody
// who types.
func readInput(ctx context.Context, r io.Reader) ([]string, error) {
	type result struct {
		names []string
		err   error
	}
	done := make(chan result, 1)
	go func() {
		names, err := readList(r)
		done <- result{names, err}
	}()
	select {
	case r := <-done:
		return r.names, r.err
	case <-ctx.Done():
		return nil, errInterrupted
	}
}

// readList reads one domain a line. White space around it, empty lines, and what follows a #
// do not count. A list without a domain is an error: nothing would be found to be fine.
func readList(r io.Reader) (names []string, err error) {
	lines := bufio.NewScanner(r)
	number := 1
	for ; lines.Scan(); number++ {
		name, _, _ := strings.Cut(lines.Text(), "#")
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	switch err = lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		err = fmt.Errorf("line %d is too long for a domain", number)
	case err == nil && len(names) == 0:
		err = errors.New("there is no domain in it")
	}
	return names, err
}
