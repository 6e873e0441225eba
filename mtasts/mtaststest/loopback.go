package mtaststest

import (
	"io"
	"net"
	"net/netip"
)

// Listen makes host accept connections at a TCP address of this machine. It is for a mail
// server that cannot use [World.Dial]. The address has the form of [net.Listen]: "127.0.0.1:0"
// is a free port. Listen returns the address with the port. [World.Close] ends it. Listen fails
// as net.Listen does, and with [net.ErrClosed] after Close.
//
// Like AddMX, Listen does not change the DNS. Several hosts can have the same port at different
// addresses in 127.0.0.0/8, but some systems have 127.0.0.1 only:
//
//	mx1, err := world.Listen("mx1.example.com", "127.0.0.1:0")
//	mx2, err := world.Listen("mx2.example.com", fmt.Sprintf("127.0.0.2:%d", mx1.Port()))
//	world.DNS.Set("mx1.example.com", resolver.Records{Addr: []netip.Addr{mx1.Addr()}})
//	world.DNS.Set("mx2.example.com", resolver.Records{Addr: []netip.Addr{mx2.Addr()}})
func (w *World) Listen(host, address string) (netip.AddrPort, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if !w.serve(listener, func() { w.accept(listener, host) }) {
		return netip.AddrPort{}, net.ErrClosed
	}
	return listener.Addr().(*net.TCPAddr).AddrPort(), nil
}

func (w *World) accept(listener net.Listener, host string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed
		}
		w.serve(conn, func() { w.ServeMX(conn, host) })
	}
}

// serve calls work on a new goroutine, until work returns or Close closes socket. After Close
// it closes socket at once and returns false.
func (w *World) serve(socket io.Closer, work func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		socket.Close()
		return false
	}
	w.sockets[socket] = struct{}{}
	w.serving.Go(func() {
		work()
		socket.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.sockets, socket)
	})
	return true
}

// Close closes the listeners of [World.Listen] and their sessions, and waits until they have
// ended. It is needed only after Listen.
func (w *World) Close() {
	w.mu.Lock()
	w.closed = true
	for socket := range w.sockets {
		socket.Close()
	}
	w.mu.Unlock()
	w.serving.Wait()
}
