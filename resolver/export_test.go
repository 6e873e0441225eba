package resolver

import (
	"net"
	"time"
)

// WithLimit returns a System with d instead of Limit.
func (s System) WithLimit(d time.Duration) System {
	s.limit = d
	return s
}

// NewStream wraps conn like a TCP connection of a System.
func NewStream(conn net.Conn) net.Conn {
	return &streamConn{Conn: conn, stop: func() bool { return true }}
}
