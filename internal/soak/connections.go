package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	// fetchGoroutines is for one fetch, on both sides: the caller, the look-up, four in the
	// transport and two in the server, and as many for the previous fetch, which is ending.
	fetchGoroutines = 16
	maxFetches      = 512             // of a client, at a time
	deadGoroutines  = 1               // of a fetch from a dead host; package net has one more while it connects
	deadHeap        = 32 << 10        // a TLS session after ClientHello, with its buffers
	lateness        = 2 * time.Second // of the last caller, after the deadline of all
	atOnce          = time.Second     // a fraction of patience, and enough on a busy machine
	closing         = 5 * time.Second // Close, with nothing to store
)

// fetches fetches policies over TCP and TLS. No fetch leaks a socket or a goroutine.
func fetches(t *trial) error {
	server := httptest.NewUnstartedServer(t.world)
	server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return t.certificate(hello.ServerName), nil
	}}
	server.StartTLS()
	defer server.Close()
	return t.with(mtasts.Options{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String()) // not port 443
		},
		TLSClientConfig:   &tls.Config{RootCAs: t.ca.Pool()},
		DisableKeepAlives: true, // as the client's own
	}}, limits{
		open: reading{heap: int64(min(t.memory, t.n)) * entryHeap, goroutines: 1, files: 1}, // of the server
		// Both ends of a connection are in this process, and the previous one may not have
		// been closed yet.
		peak: reading{goroutines: fetchGoroutines*workers + saving, files: 1 + 4*workers},
	}, t.all)
}

// deadHosts has policy hosts that accept a connection and never answer, and a caller for each.
// Each caller returns at its deadline. Meanwhile the client answers from the store at once,
// though the new id of these policies, too, needs a fetch from a dead host. The fetches end with
// Close, or after the one minute of RFC 8461, Section 3.3.
func deadHosts(t *trial) error {
	// The first domains have a policy in the store.
	stored := t.n / 10
	if err := t.with(mtasts.Options{}, limits{}, func() { t.ask(0, stored) }); err != nil {
		return err
	}
	t.record = published("2")
	// The policy hosts never call accept. The system accepts up to the length of its queue, which
	// is more than 100. So the only sockets here are the client's.
	connections := t.n + stored
	hosts := make([]net.Listener, connections/100+1)
	for i := range hosts {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		hosts[i] = l
	}
	var dialled, refused atomic.Int64
	// This is what the client's own transport does, but for port 443. An http.Transport would
	// continue the handshake after the end of the request.
	web := roundTripper(func(req *http.Request) (*http.Response, error) {
		host := hosts[number(req.Host)%len(hosts)].Addr()
		conn, err := new(net.Dialer).DialContext(req.Context(), "tcp", host.String())
		dialled.Add(1)
		if err != nil {
			refused.Add(1)
			return nil, err
		}
		defer conn.Close()
		return nil, tls.Client(conn, &tls.Config{ServerName: req.Host}).HandshakeContext(req.Context()) // never returns nil
	})
	l := limits{open: reading{files: len(hosts)}, peak: reading{
		heap:       int64(connections) * deadHeap,
		goroutines: (deadGoroutines+1)*connections + t.n + workers,
		files:      len(hosts) + connections,
	}}
	if t.waitOut {
		t.deadline += time.Duration(connections/maxFetches) * time.Minute
	} else {
		l.open = l.open.plus(reading{goroutines: deadGoroutines * connections, files: connections})
	}
	var took, late time.Duration
	err := t.with(mtasts.Options{Transport: web}, l, func() {
		var cached sync.WaitGroup
		cached.Go(func() {
			for end := time.Now().Add(t.patience); dialled.Load() < int64(min(t.n, maxFetches)) && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			took = t.each(stored, workers/8, t.right)
		})
		late = t.each(t.n, t.n, func(n int) bool {
			ctx, cancel := context.WithTimeout(context.Background(), t.patience)
			defer cancel()
			_, err := t.client.PolicyFor(ctx, name(stored+n))
			return errors.Is(err, context.DeadlineExceeded)
		}) - t.patience
		cached.Wait()
	})
	want := t.base.plus(reading{files: len(hosts)})
	t.boundOpen("after Close", t.meter.settled(want, t.deadline), want) // before the hosts are closed
	t.bound("connections refused", refused.Load(), 0, count)
	t.bound("late", int64(late), int64(lateness), seconds)
	t.bound("cached answer after", int64(took), int64(atOnce), seconds)
	t.bound("Close took", int64(t.closing), int64(closing), seconds)
	return err
}
