package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/cli"
	"github.com/mtasts/go-mtasts/mtasts"
)

// The maps that the server has.
const (
	mapPlain  = "mta-sts"        // for Postfix 3.4 and later
	mapReport = "mta-sts-tlsrpt" // for Postfix 3.10 and later
)

// notFoundReply has no text (socketmap_table(5)). Postfix insists on the blank.
const notFoundReply = "NOTFOUND "

// answerLimit is how long Postfix waits for an answer at most: then it defers the message.
// Postfix itself would wait for 100 seconds. A look-up goes on, and its result is cached.
const answerLimit = 30 * time.Second

// answers turns queries into replies. Its method answer may be called concurrently.
type answers struct {
	client  *mtasts.Client
	hosts   *hosts
	testing *atomic.Pointer[string] // level for mode testing; "" for none
	counts  replyCounts
}

// replyCounts counts replies by what they say.
type replyCounts struct {
	secure, daneOnly, testing, notFound, temp, perm atomic.Uint64
}

// answer appends to b the reply to a query, which is the name of a map, a blank and a key.
func (a *answers) answer(ctx context.Context, b []byte, query string) []byte {
	name, key, _ := strings.Cut(query, " ")
	if name != mapPlain && name != mapReport {
		a.counts.perm.Add(1)
		return append(b, "PERM unknown map: use "+mapPlain+" or "+mapReport...)
	}
	hop, ok := parseNextHop(key)
	if !ok {
		return a.notFound(b)
	}
	policy, err := a.client.PolicyFor(ctx, key)
	switch {
	case errors.Is(err, mtasts.ErrInvalidDomain):
		return a.notFound(b)
	case err != nil:
		return a.temp(b, err)
	case policy.Mode == mtasts.ModeNone:
		return a.notFound(b)
	}
	hop.domain = policy.Domain
	if policy.Mode == mtasts.ModeTesting {
		return a.testingReply(ctx, b, name, hop, policy)
	}
	return a.enforceReply(ctx, b, name, hop, policy)
}

func (a *answers) enforceReply(ctx context.Context, b []byte, name string, hop nextHop, policy *mtasts.Policy) []byte {
	var mx []string
	match := policy
	if a.hosts.dane || hasWildcard(policy) {
		d := a.hosts.of(ctx, hop)
		switch {
		case d.dane:
			// RFC 8461, Section 2: MTA-STS does not override DANE.
			a.counts.daneOnly.Add(1)
			return append(b, "OK dane-only"...)
		case d.err != nil:
			// RFC 7672, Section 2.1.2: a failed look-up is no proof that there are no
			// TLSA records.
			return a.temp(b, d.err)
		}
		mx = d.mx
		if len(d.failed) > 0 {
			// Such a host may have TLSA records. When Postfix finds its address, the host
			// must not pass without them. The others can: one dead host holds no mail up.
			match = without(policy, d.failed)
			name = mapPlain // else Postfix replaces match= by the patterns of the policy
		} else if len(mx) > 0 && len(listed(policy, mx)) == 0 {
			policy.CheckMX(mx[0]) // a violation: the next look-up checks for a newer policy
		}
	}
	a.counts.secure.Add(1)
	b = appendSecure(b, match, mx)
	if name == mapReport {
		b = appendReport(b, policy)
	}
	return b
}

// testingReply only makes Postfix report. The level replaces that of main.cf, so the
// operator names it.
func (a *answers) testingReply(ctx context.Context, b []byte, name string, hop nextHop, policy *mtasts.Policy) []byte {
	level := *a.testing.Load()
	if name == mapReport && level != "" {
		var d destination
		if a.hosts.dane {
			d = *a.hosts.of(ctx, hop)
		}
		if !d.dane && d.err == nil && d.failed == nil {
			a.counts.testing.Add(1)
			return appendReport(append(b, "OK "+level...), policy)
		}
	}
	return a.notFound(b)
}

// temp is the reply that makes Postfix defer the message. Postfix logs its text.
func (a *answers) temp(b []byte, err error) []byte {
	a.counts.temp.Add(1)
	text := cli.Printable(err.Error()) // a name in it may come from the network
	return append(b, "TEMP "+text[:min(len(text), 500)]...)
}

func (a *answers) notFound(b []byte) []byte {
	a.counts.notFound.Add(1)
	return append(b, notFoundReply...)
}

// A nextHop is a key that Postfix looks up.
type nextHop struct {
	domain    string
	port      string // a number
	bracketed bool   // [host]: no MX look-up
}

func (h nextHop) String() string {
	if h.bracketed {
		return "[" + h.domain + "]:" + h.port
	}
	return h.domain + ":" + h.port
}

// parseNextHop splits example.com, example.com:port, [host] and [host]:port. It returns
// false for what has no policy, so that nothing is looked up: the keys .com and .example.com,
// which Postfix tries after each NOTFOUND; a name without a dot; an address.
func parseNextHop(key string) (h nextHop, ok bool) {
	h.port = "25"
	host, port := key, ""
	if inner, found := strings.CutPrefix(key, "["); found {
		h.bracketed = true
		if host, port, found = strings.Cut(inner, "]"); !found {
			return h, false
		}
		if port, found = strings.CutPrefix(port, ":"); !found && port != "" {
			return h, false
		}
	} else if i := strings.LastIndexByte(key, ':'); i >= 0 {
		host, port = key[:i], key[i+1:]
	}
	if port != "" {
		n, err := net.LookupPort("tcp", port) // of a service too, from a file
		if err != nil || n == 0 {
			return h, false
		}
		h.port = strconv.Itoa(n)
	}
	if strings.HasPrefix(host, ".") || !hasDot(strings.TrimSuffix(host, ".")) {
		return h, false
	}
	h.domain = host
	return h, true
}

// hasDot reports whether a name has two labels. The full stops of other scripts count (UTS
// #46, Section 2.3).
func hasDot(name string) bool {
	return strings.IndexByte(name, '.') >= 0 || strings.ContainsAny(name, "\u3002\uff0e\uff61")
}
