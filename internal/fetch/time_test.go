package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// A wire is a network in memory with one listener, for use in a bubble. There, a goroutine
// that does not end fails the test.
type wire struct {
	conns  chan net.Conn
	closed chan struct{}
	open   atomic.Int32 // connections that the client has not closed
}

func newWire() *wire { return &wire{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (w *wire) Accept() (net.Conn, error) {
	select {
	case conn := <-w.conns:
		return conn, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error { close(w.closed); return nil }

func (w *wire) Addr() net.Addr { return &net.TCPAddr{} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case w.conns <- server:
		w.open.Add(1)
		return &counted{Conn: client, open: &w.open}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type counted struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// client returns a Client at the other end of w.
func (w *wire) client(ca *testpki.CA) *Client {
	c := New(Config{RootCAs: ca.Pool(), LookupNetIP: resolveTo(public)})
	c.dialer.connect = w.dial
	return c
}

// wantTimeout checks that a Get took the whole minute and no more.
func wantTimeout(t *testing.T, client *Client) error {
	t.Helper()
	start := time.Now()
	body, err := client.Get(t.Context(), host)
	wantError(t, body, err, KindTransport, "no complete answer within 1m0s")
	if took := time.Since(start); took != time.Minute {
		t.Errorf("it took %v", took)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is not context.DeadlineExceeded", err)
	}
	return err
}

func TestRFC8461_3_3_AGetTakesAMinuteAtMost(t *testing.T) {
	// drip writes a byte each second until the client closes.
	drip := func(w io.Writer) {
		for {
			if _, err := io.WriteString(w, "#"); err != nil {
				return
			}
			if flusher, ok := w.(http.Flusher); ok {
				flusher.Flush()
			}
			time.Sleep(time.Second)
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"a body that drips": func(w http.ResponseWriter, r *http.Request) {
			publish(w, r)
			drip(w)
		},
		"a header that drips": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: ")
			drip(conn)
		},
		"interim answers for ever": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.WriteHeader(http.StatusEarlyHints)
				time.Sleep(time.Second)
			}
		},
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				ca := testpki.Must(testpki.New()) // of the bubble's time
				cert := testpki.Must(ca.Issue(host))
				server := serveOn(t, w, &tls.Config{Certificates: []tls.Certificate{cert}}, handler)
				wantTimeout(t, w.client(ca))
				time.Sleep(time.Minute) // the handler ends once a write has failed
				synctest.Wait()
				server.Close()
			})
		})
	}

	t.Run("a handshake that never ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWire()
			var received atomic.Int64
			go func() {
				conn, _ := w.Accept()
				n, _ := io.Copy(io.Discard, conn) // until the client closes
				received.Store(n)
			}()
			wantTimeout(t, w.client(testpki.Must(testpki.New())))
			synctest.Wait()
			if received.Load() == 0 {
				t.Error("the server received no hello, or no end")
			}
		})
	})
	t.Run("a connection that does not come about", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			wantTimeout(t, newWire().client(testpki.Must(testpki.New())))
		})
	})
	t.Run("a resolver that is silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client := New(Config{LookupNetIP: func(ctx context.Context, _, name string) ([]netip.Addr, error) {
				<-ctx.Done()
				return nil, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true}
			}})
			if _, ok := errors.AsType[*net.DNSError](wantTimeout(t, client)); !ok {
				t.Error("the *net.DNSError is out of reach")
			}
		})
	})
	t.Run("a transport of the caller's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			wantTimeout(t, New(Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})}))
		})
	})
}

func TestTheCallersContextEndsAGet(t *testing.T) {
	for name, want := range map[string]error{"cancelled": context.Canceled, "deadline": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				go func() {
					conn, _ := w.Accept()
					io.Copy(io.Discard, conn)
				}()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if want == context.Canceled {
					stop := time.AfterFunc(5*time.Second, cancel)
					defer stop.Stop()
				}
				start := time.Now()
				body, err := w.client(testpki.Must(testpki.New())).Get(ctx, host)
				wantError(t, body, err, KindTransport, want.Error())
				if took := time.Since(start); !errors.Is(err, want) || took > 10*time.Second {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// Not every resolver returns the error of its context.
func TestAnEndedContextIsSeenInAnyError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := New(Config{LookupNetIP: func(context.Context, string, string) ([]netip.Addr, error) {
		cancel()
		return nil, errors.New("interrupted")
	}})
	body, err := client.Get(ctx, host)
	wantError(t, body, err, KindTransport, "context canceled: interrupted")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v is not context.Canceled", err)
	}
}

// The bubble waits for every goroutine of client and server.
func TestNothingIsLeftOpenAfterAGet(t *testing.T) {
	for name, test := range map[string]struct {
		handler   http.HandlerFunc
		certified string // the name in the server's certificate
	}{
		"a policy":            {publish, host},
		"a status":            {http.NotFound, host},
		"a body not read":     {func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) }, host},
		"a connection ended":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, host},
		"a handshake refused": {publish, "mta-sts.example.net"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				ca := testpki.Must(testpki.New())
				cert := testpki.Must(ca.Issue(test.certified))
				server := serveOn(t, w, &tls.Config{Certificates: []tls.Certificate{cert}}, test.handler)
				client := w.client(ca)
				for range 3 {
					client.Get(t.Context(), host)
				}
				synctest.Wait()
				if n := w.open.Load(); n != 0 {
					t.Errorf("%d connections are open", n)
				}
				server.Close()
			})
		})
	}
}
