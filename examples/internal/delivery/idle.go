package delivery

import (
	"net/netip"
	"time"
)

// A peer is one address of a host.
type peer struct {
	host string
	addr netip.Addr
}

// take returns the idle session with a host, or nil. The session belongs to the caller.
func (s *Sender) take(p peer) *session {
	idle, _ := s.idle.LoadAndDelete(p)
	session, _ := idle.(*session)
	return session
}

// leave keeps a session for the next message, at most one with each peer, or ends it. It ends one
// in clear text, since the next might be in TLS. It does not wait for the host: the caller has an
// outcome to store.
func (s *Sender) leave(c *session) {
	_, inTLS := c.smtp.TLSConnectionState()
	if s.KeepIdle > 0 && inTLS {
		c.release()
		if _, other := s.idle.LoadOrStore(c.peer, c); !other {
			time.AfterFunc(s.KeepIdle, func() {
				if s.idle.CompareAndDelete(c.peer, c) {
					c.close()
				}
			})
			return
		}
	}
	s.quitting.Go(c.close)
}

// Close ends all sessions. Call it after the last Deliver has returned.
func (s *Sender) Close() {
	s.idle.Range(func(p, _ any) bool {
		if c := s.take(p.(peer)); c != nil {
			s.quitting.Go(c.close)
		}
		return true
	})
	s.quitting.Wait()
}
