package main

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// The limits for one client, an IPv4 address or an IPv6 network of 64 bits.
const (
	clientBurst  = 20
	clientPeriod = 3 * time.Second // for each question after those
	clientAtOnce = 4
	clientConns  = 64 // open connections

	// maxClients bounds the clients that are counted. If there are more, the one that asked
	// longest ago starts afresh.
	maxClients = 10_000
)

// A client is a bucket of tokens, one for each question.
type client struct {
	tokens  float64
	filled  time.Time
	waiting int // its questions under way
}

// clients are counted by their network.
type clients struct {
	mu  sync.Mutex
	all *simplelru.LRU[netip.Prefix, *client]
}

func newClients() *clients {
	all, _ := simplelru.NewLRU[netip.Prefix, *client](maxClients, nil) // fails for a size below 1
	return &clients{all: all}
}

// enter lets a client ask a question, and returns what to call after the answer. If the client
// has to wait, leave is nil.
func (c *clients) enter(from netip.Prefix) (leave func(), wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	cl, ok := c.all.Get(from)
	if !ok {
		cl = &client{tokens: clientBurst, filled: now}
		c.all.Add(from, cl)
	}
	cl.tokens = min(clientBurst, cl.tokens+now.Sub(cl.filled).Seconds()/clientPeriod.Seconds())
	cl.filled = now
	if cl.tokens < 1 || cl.waiting == clientAtOnce {
		return nil, clientPeriod
	}
	cl.tokens--
	cl.waiting++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		cl.waiting--
	}, 0
}

// clientOf returns the network of a client. What a request says in X-Forwarded-For counts only
// as far as proxies have written it.
func clientOf(r *http.Request, proxies []netip.Prefix) netip.Prefix {
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	addr := remote.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			break
		}
		before, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		addr = before.Unmap()
	}
	return networkOf(addr)
}

// networkOf returns the network that counts as one client.
func networkOf(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.WithZone("").Prefix(bits) // fails for the zero address
	return network
}

// conns counts the open connections of each client, so that one cannot have all that the
// server takes.
type conns struct {
	proxies []netip.Prefix // which have many clients

	mu   sync.Mutex
	open map[netip.Prefix]int
}

// state is an [http.Server.ConnState]. It closes a connection that is one too many.
func (c *conns) state(conn net.Conn, state http.ConnState) {
	remote, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	addr := remote.Addr().Unmap()
	if slices.ContainsFunc(c.proxies, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return
	}
	from := networkOf(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		if c.open[from]++; c.open[from] > clientConns {
			conn.Close()
		}
	case http.StateClosed:
		if c.open[from]--; c.open[from] == 0 {
			delete(c.open, from)
		}
	}
}
