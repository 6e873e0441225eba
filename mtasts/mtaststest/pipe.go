package mtaststest

import (
	"io"
	"net"
	"slices"
	"sync"
)

// buffered is the server's end of a net.Pipe whose writes do not wait for the
// client to read, as those of a socket do not. Without it a client that ends a
// handshake with an alert and a server that is still writing would wait for each
// other.
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

// Write takes a copy of p.
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

// Close closes the pipe once the client has read what was written, or has closed
// its end.
func (b *buffered) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.changed.Signal()
	return nil
}

// pump hands over what was written.
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
