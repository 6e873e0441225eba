package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// attemptDelay is how long an address may keep silent before the next one
	// is tried beside it. RFC 8305, Section 8: "Connection Attempt Delay ...
	// Recommended to be 250 milliseconds".
	attemptDelay = 250 * time.Millisecond

	// maxAttempts bounds the connections that one name can cause.
	maxAttempts = 8
)

// A dialer connects to the policy host. It resolves the name once, judges the
// addresses and dials those, so that a name which changes its address in
// between gains nothing.
type dialer struct {
	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error)
	guard   guard
	port    uint16
	connect func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialer(config Config) *dialer {
	d := &dialer{
		lookup: config.LookupNetIP,
		guard:  guard{allowed: slices.Clone(config.AllowNets)},
		port:   cmp.Or(config.Port, 443),
	}
	if d.lookup == nil {
		d.lookup = net.DefaultResolver.LookupNetIP
	}
	tcp := &net.Dialer{
		KeepAlive: -1, // the connection does not last
		// The address has been judged before; here it is judged as the kernel
		// gets it.
		Control: func(_, address string, _ syscall.RawConn) error {
			addrPort, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return d.guard.check(addrPort.Addr())
		},
	}
	d.connect = tcp.DialContext
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
	if addrs, err = d.guard.filter(addrs); err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, errors.New("the name has no address")
	}
	addrs = alternate(addrs)
	return d.race(ctx, addrs[:min(len(addrs), maxAttempts)])
}

// race dials addrs, which is not empty, in order, the next one as soon as one
// has failed or kept silent for a while, and returns the first connection that
// comes about (RFC 8305, Section 5).
func (d *dialer) race(ctx context.Context, addrs []netip.Addr) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	var (
		results = make(chan result)
		pending int
		failed  error
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

// bounded is the connection below TLS. No more than left octets can be read from it,
// and its end is an error. crypto/tls passes on an io.EOF that comes between two
// records as if the peer had sent close_notify, though anyone on the way can bring it
// about. With none from below, an io.EOF from a TLS session is that alert, which is
// authenticated (RFC 8446, Section 6.1).
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, refuse("the host sends more than %d bytes in all", wireLimit)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	if err == io.EOF {
		// Not io.ErrUnexpectedEOF itself, which crypto/tls takes back to io.EOF.
		err = fmt.Errorf("the connection ended without close_notify: %w", io.ErrUnexpectedEOF)
	}
	return n, err
}

// alternate returns addrs with the families in turn, beginning with that of
// the first address and otherwise in the resolver's order (RFC 8305, Section
// 4), so that one family that leads nowhere delays but does not prevent.
func alternate(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr // that of the first address, and the other
	for _, addr := range addrs {
		other := 0
		if addr.Is4() != addrs[0].Is4() {
			other = 1
		}
		families[other] = append(families[other], addr)
	}
	ordered := make([]netip.Addr, 0, len(addrs))
	for i := range addrs {
		for _, family := range families {
			if i < len(family) {
				ordered = append(ordered, family[i])
			}
		}
	}
	return ordered
}
