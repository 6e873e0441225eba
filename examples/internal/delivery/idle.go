package delivery

import (
	"context"
	"net/netip"
	"time"
)

// A peer is one address of a host.
type peer struct {
	host string
	addr netip.Addr
}

// take returns the idle session with a host for another message, or nil if there is none, or the
// host has ended it.
func (s *Sender) take(ctx context.Context, p peer) *session {
	idle, _ := s.idle.LoadAndDelete(p)
	session, _ := idle.(*session)
	if session != nil && session.resume(ctx) != nil {
		session.close()
		return nil
	}
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
		if idle, ok := s.idle.LoadAndDelete(p); ok {
			s.quitting.Go(idle.(*session).close)
		}
		return true
	})
	s.quitting.Wait()
}
