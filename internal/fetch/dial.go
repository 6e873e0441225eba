package fetch

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// attemptDelay is how long one address may be silent before the next is tried
	// beside it. RFC 8305, Section 8: "Connection Attempt Delay ... Recommended to be
	// 250 milliseconds".
	attemptDelay = 250 * time.Millisecond

	// maxAttempts bounds the connections that one name can cause.
	maxAttempts = 8
)

// A dialer connects to policy hosts. It resolves a name once, checks the addresses and
// dials those, so that a name gains nothing by a change of address in between.
type dialer struct {
	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error)
	guard   guard
	port    uint16
	connect func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialer(config Config) *dialer {
	d := &dialer{
		lookup: config.LookupNetIP,
		guard:  slices.Clone(config.AllowNets),
		port:   cmp.Or(config.Port, 443),
	}
	tcp := &net.Dialer{
		KeepAlive: -1, // the connection is short
		// A second check, at the socket: no address is dialled without one.
		Control: func(_, address string, _ syscall.RawConn) error {
			addrPort, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return d.guard.check(addrPort.Addr())
		},
	}
	d.connect = tcp.DialContext
	if d.lookup == nil {
		d.lookup = net.DefaultResolver.LookupNetIP
	}
	return d
}

// DialContext is for an http.Transport that is to reach other hosts than those of policies:
// it dials the addresses that a Client would, at any port. If resolver has the method
// LookupNetIP of *net.Resolver, it is asked for them.
func DialContext(allowed []netip.Prefix, resolver any) func(ctx context.Context, network, address string) (net.Conn, error) {
	config := Config{AllowNets: allowed}
	if r, ok := resolver.(interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	}); ok {
		config.LookupNetIP = r.LookupNetIP
	}
	d := newDialer(config)
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if _, literal := netip.ParseAddr(host); literal == nil {
			return d.connect(ctx, "tcp", address) // which judges it
		}
		number, portErr := strconv.ParseUint(port, 10, 16)
		if err := cmp.Or(err, portErr); err != nil {
			return nil, err
		}
		at := *d
		at.port = uint16(number)
		return at.dial(ctx, strings.TrimSuffix(host, "."))
	}
}

// dial returns a TCP connection with host.
func (d *dialer) dial(ctx context.Context, host string) (net.Conn, error) {
	addrs, err := d.lookup(ctx, "ip", host+".") // absolute: no search list
	if err != nil {
		return nil, err
	}
	traceOf(ctx).resolved(addrs)
	if len(addrs) == 0 {
		return nil, errors.New("the name has no address")
	}
	if addrs, err = d.guard.filter(addrs); err != nil {
		return nil, err
	}
	addrs = alternate(addrs)
	return d.race(ctx, addrs[:min(len(addrs), maxAttempts)])
}

// race dials addrs in order and returns the first connection (RFC 8305, Section 5). It
// tries the next address as soon as one has failed or been silent for attemptDelay. There
// is at least one address.
func (d *dialer) race(ctx context.Context, addrs []netip.Addr) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	var (
		results = make(chan result)
		pending int
		failed  error // of the first address that failed
	)
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for ; pending > 0; pending-- {
			if late := <-results; late.err == nil {
				late.conn.Close()
			}
		}
	}()

	next := time.NewTimer(0)
	defer next.Stop()
	for len(addrs) > 0 || pending > 0 {
		select {
		case <-next.C:
			if len(addrs) == 0 {
				continue
			}
			address := netip.AddrPortFrom(addrs[0], d.port).String()
			addrs = addrs[1:]
			pending++
			go func() {
				conn, err := d.connect(ctx, "tcp", address)
				results <- result{conn, err}
			}()
			next.Reset(attemptDelay)
		case r := <-results:
			pending--
			if r.err == nil {
				return r.conn, nil
			}
			if failed == nil {
				failed = r.err
			}
			next.Reset(0)
		}
	}
	return nil, failed
}

// alternate returns addrs with IPv4 and IPv6 in turn, so that a family without a route
// delays the connection but does not prevent it. The family of the first address comes
// first (RFC 8305, Section 4).
func alternate(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr // that of the first address, and the other
	for _, addr := range addrs {
		other := 0
		if addr.Is4() != addrs[0].Is4() {
			other = 1
		}
		families[other] = append(families[other], addr)
	}
	var ordered []netip.Addr
	for i := range addrs {
		for _, family := range families {
			if i < len(family) {
				ordered = append(ordered, family[i])
			}
		}
	}
	return ordered
}
