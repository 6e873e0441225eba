package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

const (
	// deadGoroutines are those of a look at a dead host: the flight. While it connects,
	// package net has another.
	deadGoroutines = 1

	// deadHeap is a TLS session that has said hello, and its buffers.
	deadHeap = 32 << 10

	// lateness is how long after its deadline the last of all callers may return, on
	// a machine where all of them wake up at once.
	lateness = 2 * time.Second

	// atOnce is for an answer that is remembered, while all the others wait: a small part
	// of what they wait, and long enough for a machine that has other things to do.
	atOnce = time.Second

	// closing is how long Close may take when there is nothing to store.
	closing = 5 * time.Second

	// fetchLimit is the one minute of RFC 8461, Section 3.3 after which no fetch
	// goes on.
	fetchLimit = time.Minute
)

// deadHosts has as many callers as there are policy hosts that take a connection and
// never answer. Each caller is back at its deadline, while what is remembered is
// answered at once, though there, too, a new id calls for a fetch from a dead host.
// What callers leave behind ends after a minute, or with Close.
func deadHosts(t *trial) error {
	if err := t.learn(); err != nil {
		return err
	}
	connections := t.dead + t.learned
	hole, err := newHole(connections)
	if err != nil {
		return err
	}
	defer hole.close()
	var dialled, refused atomic.Int64
	client, err := mtasts.Open(t.path(), &mtasts.Options{
		Resolver:      newDNS(published("2")),
		MemoryEntries: t.memory,
		// As the client's own transport does it, without its port 443. An http.Transport
		// would let the handshake go on when the request has ended.
		Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			n, err := number(req.URL.Host)
			if err != nil {
				return nil, err
			}
			conn, err := new(net.Dialer).DialContext(req.Context(), "tcp", hole.address(n))
			dialled.Add(1)
			if err != nil {
				refused.Add(1)
				return nil, err
			}
			defer conn.Close()
			session := tls.Client(conn, &tls.Config{ServerName: req.URL.Host})
			return nil, session.HandshakeContext(req.Context()) // that is how far it gets
		}),
	})
	if err != nil {
		return err
	}

	var slowest, latest highest
	remembered := make(chan int64)
	go func() {
		for end := time.Now().Add(t.patience); dialled.Load() < int64(t.dead) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		remembered <- t.each(t.learned, workers/8, func(n int) bool {
			start := time.Now()
			p, err := client.PolicyFor(context.Background(), name(n))
			slowest.note(time.Since(start))
			return enforces(p, err, n)
		})
	}()
	wrong := t.each(t.dead, t.dead, func(n int) bool {
		ctx, cancel := context.WithTimeout(context.Background(), t.patience)
		defer cancel()
		start := time.Now()
		_, err := client.PolicyFor(ctx, name(t.learned+n))
		latest.note(time.Since(start) - t.patience)
		return errors.Is(err, context.DeadlineExceeded)
	})
	wrong += <-remembered

	listening := reading{files: len(hole.listeners)}
	flights := reading{goroutines: deadGoroutines * connections, files: listening.files + store.files + connections}
	if t.waitOut {
		time.Sleep(fetchLimit)
		flights = reading{files: listening.files + store.files}
	}
	t.opened(flights)
	start := time.Now()
	err = client.Close()
	took := time.Since(start)
	left := t.meter.settled(t.base.plus(listening), t.settle) // before the hole is closed, too
	t.bound("wrong answers", float64(wrong), 0, "")
	t.bound("connections refused", float64(refused.Load()), 0, "")
	t.bound("late", latest.seconds(), lateness.Seconds(), "s")
	t.bound("remembered after", slowest.seconds(), atOnce.Seconds(), "s")
	t.boundGoroutines((deadGoroutines+1)*connections + t.dead + workers)
	t.bound("files peak", float64(t.meter.peak().files), float64(t.base.files+listening.files+store.files+connections), "")
	t.boundPeak(int64(connections) * deadHeap)
	t.bound("Close took", took.Seconds(), closing.Seconds(), "s")
	t.boundCount("goroutines after Close", left.goroutines, t.base.goroutines)
	t.boundCount("files after Close", left.files, t.base.files+listening.files)
	return err
}

// learn fills the store while the policy hosts are alive.
func (t *trial) learn() error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	client, err := mtasts.Open(t.path(), &mtasts.Options{
		Resolver:  newDNS(published("1")),
		Transport: &hosts{authority: authority, text: policy},
		RootCAs:   authority.ca.Pool(),
	})
	if err != nil {
		return err
	}
	wrong := t.each(t.learned, workers, func(n int) bool {
		p, err := client.PolicyFor(context.Background(), name(n))
		return enforces(p, err, n)
	})
	if wrong > 0 {
		err = errors.New("the policies to be remembered could not be learnt")
	}
	return errors.Join(err, client.Close())
}
