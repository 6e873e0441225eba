package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts"
)

// openStore opens the store in a file, which must be there, and is not made.
func openStore(path string) (*cache.Bolt, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Size() == 0 { // OpenBolt would make a store of it
		return nil, fmt.Errorf("%s is empty, and no store", path)
	}
	return cache.OpenBolt(path)
}

// some is a store as far as it has keys, which are in order.
type some struct {
	mtasts.Store
	keys []string
}

func (s some) Scan(ctx context.Context, after string, limit int) (keys []string, values [][]byte, err error) {
	at, found := slices.BinarySearch(s.keys, after)
	if found {
		at++
	}
	for _, key := range s.keys[at:] {
		if len(keys) == limit {
			break
		}
		value, ok, getErr := s.Get(ctx, key)
		if err = errors.Join(err, getErr); ok {
			keys, values = append(keys, key), append(values, value)
		}
	}
	return keys, values, err
}

// find returns what store has of domains: nil for an entry that cannot be read, of which the
// error tells.
func find(ctx context.Context, store mtasts.Store, domains []string) (found map[string]*mtasts.Cached, err error) {
	var keys []string
	for _, domain := range domains {
		if key := policyDomain(domain); len(key) <= 253 { // longer ones are no names
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	client := mtasts.New(some{store, slices.Compact(keys)}, nil)
	defer client.Close()
	found = make(map[string]*mtasts.Cached)
	for c, damage := range client.All(ctx) {
		if damage == nil {
			found[c.Policy.Domain] = c
			continue
		}
		err = errors.Join(err, damage)
		if failure, ok := errors.AsType[*mtasts.Error](damage); ok {
			found[failure.Domain] = nil
		}
	}
	return found, err
}

// file is the store that -db names.
func (c *config) file() (*cache.Bolt, error) {
	if c.db == "" {
		return nil, usagef("-db FILE is missing")
	}
	return openStore(c.db)
}

// cached is the command "cached": what is in a store, all of it or the domains that are named.
func (p *program) cached(ctx context.Context, c *config) (int, error) {
	file, err := c.file()
	if err != nil {
		return exitUnknown, err
	}
	defer file.Close()
	if len(c.names) > 0 {
		return p.cachedDomains(ctx, file, c.names)
	}
	client := mtasts.New(file, nil)
	defer client.Close()
	status := exitFine
	var rows [][]string
	now := time.Now()
	for c, err := range client.All(ctx) {
		if err != nil {
			fmt.Fprintln(p.stderr, "lookup: "+cli.Printable(err.Error()))
			status = exitUnknown
			continue
		}
		left := c.Policy.Expires.Sub(now)
		expires := "in " + span(left)
		if left < 0 {
			expires = span(-left) + " ago"
		}
		rows = append(rows, []string{cli.Printable(c.Policy.Domain), string(c.Policy.Mode), cli.Printable(c.Policy.ID),
			c.Policy.Fetched.UTC().Format(time.DateOnly), expires, c.LastUse.UTC().Format(time.DateOnly)})
	}
	_, err = io.WriteString(p.stdout, columns(p.stdout, []string{"DOMAIN", "MODE", "ID", "FETCHED", "EXPIRES", "LAST USE"}, rows,
		func(int, string) string { return "" }))
	return status, err
}

// cachedDomains prints the policies of some domains as they are.
func (p *program) cachedDomains(ctx context.Context, file *cache.Bolt, names []string) (int, error) {
	found, err := find(ctx, file, names)
	if err != nil {
		return exitUnknown, err
	}
	status := exitFine
	for _, name := range names {
		c := found[policyDomain(name)]
		if c == nil {
			fmt.Fprintf(p.stdout, "%s: not cached\n", cli.Printable(name))
			status = exitFindings
			continue
		}
		fmt.Fprintf(p.stdout, "%s: id %s, fetched %s, expires %s, last use %s\n", cli.Printable(c.Policy.Domain), cli.Printable(c.Policy.ID),
			stamp(c.Policy.Fetched), stamp(c.Policy.Expires), stamp(c.LastUse))
		for line := range strings.Lines(c.Policy.Text) {
			fmt.Fprintf(p.stdout, "    %s\n", cli.Printable(strings.TrimRight(line, "\r\n")))
		}
	}
	return status, nil
}

// forget is the command "forget".
func (p *program) forget(ctx context.Context, c *config) (int, error) {
	if len(c.names) == 0 {
		return exitUsage, usagef("no domain is given")
	}
	file, err := c.file()
	if err != nil {
		return exitUnknown, err
	}
	found, _ := find(ctx, file, c.names) // what is damaged can be removed
	client := mtasts.New(file, nil)
	defer client.Close()
	status := exitFine
	for _, name := range c.names {
		if _, ok := found[policyDomain(name)]; !ok {
			fmt.Fprintf(p.stdout, "%s: not cached\n", cli.Printable(name))
			status = exitFindings
			continue
		}
		if err := client.Forget(ctx, name); err != nil {
			return exitUnknown, err
		}
		fmt.Fprintf(p.stdout, "%s: removed\n", cli.Printable(name))
	}
	return status, nil
}

// check is the command "check": it reads every record of a store.
func (p *program) check(ctx context.Context, c *config) (int, error) {
	if len(c.names) != 1 {
		return exitUsage, usagef("check needs one file")
	}
	file, err := openStore(c.names[0])
	if err != nil {
		return exitUnknown, err
	}
	client := mtasts.New(file, nil)
	defer client.Close()
	valid, expired, damaged := make(map[mtasts.Mode]int), 0, 0
	for c, err := range client.All(ctx) {
		switch {
		case err != nil:
			damaged++
			fmt.Fprintln(p.stdout, cli.Printable(err.Error()))
		case time.Now().After(c.Policy.Expires):
			expired++
		default:
			valid[c.Policy.Mode]++
		}
	}
	if ctx.Err() != nil {
		return exitUnknown, context.Cause(ctx)
	}
	fmt.Fprintf(p.stdout, "%d valid: %d enforce, %d testing, %d none\n%d expired\n%d damaged\n",
		valid[mtasts.ModeEnforce]+valid[mtasts.ModeTesting]+valid[mtasts.ModeNone],
		valid[mtasts.ModeEnforce], valid[mtasts.ModeTesting], valid[mtasts.ModeNone], expired, damaged)
	if damaged > 0 {
		return exitFindings, nil
	}
	return exitFine, nil
}
