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
	// fetchGoroutines is how many goroutines a fetch has at a time, on both sides: the
	// caller, the look-up, four in the transport and two in the server; and as many again
	// for the one before it that is just ending.
	fetchGoroutines = 16
	maxFetches      = 512             // at a time, by the client
	deadGoroutines  = 1               // of a look-up at a dead host; while it connects, package net has another
	deadHeap        = 32 << 10        // of a TLS session that has said hello, and its buffers
	lateness        = 2 * time.Second // after its deadline, of the last of all callers: they wake up at once
	atOnce          = time.Second     // a small part of what the others wait, and enough for a busy machine
	closing         = 5 * time.Second // what Close may take when there is nothing to store
)

// fetches gets policies over TCP and TLS. No fetch leaves a socket or a goroutine.
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
		// Both ends of a connection are in this process; one that is being closed may have
		// a successor already.
		peak: reading{goroutines: fetchGoroutines*workers + saving, files: 1 + 4*workers},
	}, t.all)
}

// deadHosts has as many callers as there are policy hosts that take a connection and never
// answer. Each caller is back at its deadline, while cached policies are answered at once,
// though there, too, a new id calls for a fetch from a dead host. What callers leave behind
// ends with Close, or when each fetch has had the one minute of RFC 8461, Section 3.3.
func deadHosts(t *trial) error {
	// The first domains have a policy in the store, from when their hosts were alive.
	stored := t.n / 10
	if err := t.with(mtasts.Options{}, limits{}, func() { t.ask(0, stored) }); err != nil {
		return err
	}
	t.record = published("2")
	// The policy hosts never accept: the system does up to the length of its queue, which is
	// more than 100, and so there are no sockets here but the client's.
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
	// As the client's own transport does it, without its port 443. An http.Transport would
	// let the handshake go on when the request has ended.
	web := roundTripper(func(req *http.Request) (*http.Response, error) {
		host := hosts[number(req.Host)%len(hosts)].Addr()
		conn, err := new(net.Dialer).DialContext(req.Context(), "tcp", host.String())
		dialled.Add(1)
		if err != nil {
			refused.Add(1)
			return nil, err
		}
		defer conn.Close()
		return nil, tls.Client(conn, &tls.Config{ServerName: req.Host}).HandshakeContext(req.Context()) // so far it gets
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
	t.boundOpen("after Close", t.meter.settled(want, t.deadline), want) // before the hosts are closed, too
	t.bound("connections refused", refused.Load(), 0, count)
	t.bound("late", int64(late), int64(lateness), seconds)
	t.bound("cached answer after", int64(took), int64(atOnce), seconds)
	t.bound("Close took", int64(t.closing), int64(closing), seconds)
	return err
}
