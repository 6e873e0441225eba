package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/mtasts/go-mtasts/mtasts"
)

// fetches gets policies over TCP and TLS. No fetch leaves a socket or a goroutine.
func fetches(t *trial) error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			n, err := number(req.Host)
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, policy(n))
		}),
		TLSConfig: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			n, err := number(hello.ServerName)
			if err != nil {
				return nil, err
			}
			cert, err := authority.certificate(n)
			return &cert, err
		}},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	defer func() {
		server.Close()
		<-served
	}()

	transport := &http.Transport{
		// Where the names lead; port 443 is not for everybody to listen on.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
		},
		TLSClientConfig:   &tls.Config{RootCAs: authority.ca.Pool()},
		DisableKeepAlives: true, // as the client's own
	}
	client, err := mtasts.Open(t.path(), &mtasts.Options{
		Resolver: newDNS(published("1")), Transport: transport, MemoryEntries: t.memory,
	})
	if err != nil {
		return err
	}
	wrong := t.each(t.fetches, workers, func(n int) bool {
		p, err := client.PolicyFor(context.Background(), name(n))
		return enforces(p, err, n)
	})
	listening := reading{goroutines: 1, files: 1 + store.files}
	t.opened(listening)
	t.bound("wrong answers", float64(wrong), 0, "")
	// Both ends of a connection are in this process; one that is being closed may have a
	// successor already.
	t.bound("files peak", float64(t.meter.peak().files), float64(t.base.files+listening.files+4*workers), "")
	t.boundGoroutines(fetchGoroutines*workers + saving)
	t.boundHeap(int64(min(t.memory, t.fetches)) * entryHeap)
	return client.Close()
}

// fetchGoroutines is how many goroutines a fetch has at a time, on both sides: the
// caller, the flight, four in the transport and two in the server; and as many again
// for the one before it that is just ending.
const fetchGoroutines = 16

// A hole is policy hosts that accept connections and say nothing. It never accepts by
// itself: the system does up to the length of its queue, and so there are no sockets
// here but the client's.
type hole struct {
	listeners []net.Listener
}

// perListener is less than the queue of any usual system.
const perListener = 100

func newHole(connections int) (*hole, error) {
	h := new(hole)
	for range connections/perListener + 1 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			h.close()
			return nil, fmt.Errorf("listen: %w", err)
		}
		h.listeners = append(h.listeners, l)
	}
	return h, nil
}

func (h *hole) close() {
	for _, l := range h.listeners {
		l.Close()
	}
}

// address is where the policy host of domain n is.
func (h *hole) address(n int) string { return h.listeners[n%len(h.listeners)].Addr().String() }
