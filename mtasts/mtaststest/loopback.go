package mtaststest

import (
	"io"
	"net"
	"net/netip"
)

// Listen has host take connections at a TCP address of this machine, for a mail server
// whose dialler is its own. The address has the form of [net.Listen]: "127.0.0.1:0" is
// a free port. Listen returns the one taken. [World.Close] ends it.
//
// Like AddMX it does not touch the DNS. Several hosts on one port have addresses of
// their own in 127.0.0.0/8, which not every system has beyond 127.0.0.1:
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

// serve has work done, on a goroutine of its own, until it ends or Close closes
// socket. After Close it closes socket at once, and returns false.
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

// Close ends what [World.Listen] has begun, sessions too, and waits until it has ended.
// A World that does not listen needs no Close.
func (w *World) Close() {
	w.mu.Lock()
	w.closed = true
	for socket := range w.sockets {
		socket.Close()
	}
	w.mu.Unlock()
	w.serving.Wait()
}
