// Package loopback runs SMTP servers on TCP sockets of this machine, each with a host name and
// an address of its own: a sender looks up a host, dials 192.0.2.1:25, and is connected to a
// free port of 127.0.0.1.
package loopback

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/mtasts/go-mtasts/resolver"
)

// A Network is a set of servers, with their addresses in DNS. Its methods are safe for
// concurrent use.
type Network struct {
	DNS *resolver.Fake

	mu      sync.Mutex
	servers map[string]net.Listener // by the address to dial
	running sync.WaitGroup
}

// Serve calls serve on a new goroutine for each connection to port 25 of host. serve must return
// when its client has closed the connection. Serve fails if there is no free port.
func (n *Network) Serve(host string, serve func(net.Conn)) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start a server for %s: %w", host, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.servers == nil {
		n.servers = make(map[string]net.Listener)
	}
	addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(len(n.servers) + 1)}) // for documentation (RFC 5737)
	n.servers[netip.AddrPortFrom(addr, 25).String()] = listener
	n.DNS.Set(host, resolver.Records{Addr: []netip.Addr{addr}})
	n.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			n.running.Go(func() { serve(conn) })
		}
	})
	return nil
}

// Dial connects to a server. It has the form of [net.Dialer.DialContext].
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	listener := n.servers[address]
	n.mu.Unlock()
	if listener == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, listener.Addr().String())
}

// Close stops the servers and waits until the sessions have ended.
func (n *Network) Close() {
	n.mu.Lock()
	for _, listener := range n.servers {
		listener.Close()
	}
	n.mu.Unlock()
	n.running.Wait()
}
