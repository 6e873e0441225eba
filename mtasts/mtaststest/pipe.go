package mtaststest

import (
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// clientEnd is the client's end of a net.Pipe. As with a socket, a Write does not fail when the
// server has closed its end. The client can still read what the server wrote before.
type clientEnd struct {
	net.Conn
	closed atomic.Bool
}

func (c *clientEnd) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == io.ErrClosedPipe && !c.closed.Load() {
		return len(p), nil
	}
	return n, err
}

func (c *clientEnd) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// buffered is the server's end of a net.Pipe. As with a socket, a Write does not wait for the
// client to read. Otherwise a client that ends a handshake with an alert and a server that is
// still writing would wait for each other.
type buffered struct {
	net.Conn

	mu      sync.Mutex
	changed sync.Cond
	pending []byte
	closed  bool
}

func newBuffered(conn net.Conn) *buffered {
	b := &buffered{Conn: conn}
	b.changed.L = &b.mu
	go b.pump()
	return b
}

// Write keeps a copy of p.
func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, io.ErrClosedPipe
	}
	b.pending = append(b.pending, p...)
	b.changed.Signal()
	return len(p), nil
}

// SetWriteDeadline does nothing, since Write does not wait. crypto/tls sets a deadline when it
// closes a connection; pending octets must still be sent.
func (b *buffered) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the read deadline.
func (b *buffered) SetDeadline(t time.Time) error { return b.SetReadDeadline(t) }

// Close closes the pipe once the client has read all pending octets or has closed its end.
// Until then it discards what the client writes, which may write before it reads.
func (b *buffered) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.changed.Signal()
		go io.Copy(io.Discard, b.Conn)
	}
	return nil
}

// pump writes pending octets to the pipe.
func (b *buffered) pump() {
	defer b.Conn.Close()
	for {
		b.mu.Lock()
		for len(b.pending) == 0 && !b.closed {
			b.changed.Wait()
		}
		chunk := slices.Clone(b.pending)
		b.pending = b.pending[:0]
		b.mu.Unlock()
		if len(chunk) == 0 {
			return
		}
		if _, err := b.Conn.Write(chunk); err != nil {
			return
		}
	}
}
