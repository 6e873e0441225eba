package delivery

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"

	"github.com/mtasts/go-mtasts/examples/internal/starttls"
	"github.com/mtasts/go-mtasts/mtasts"
)

// tryHost delivers m to one MX host, at the first address that works.
func (s *Sender) tryHost(ctx context.Context, policy *mtasts.Policy, mx string, m Message) map[string]error {
	if _, err := policy.CheckMX(mx); err != nil {
		s.Log("not used: %v", err)
		return m.each(err)
	}
	addrs, err := s.DNS.LookupNetIP(ctx, "ip", mx)
	if err != nil {
		s.Log("not used: %s: %v", mx, err)
		return m.each(err)
	}
	return tryEach(ctx, addrs, m, func(addr netip.Addr, m Message) map[string]error {
		session := s.reuse(ctx, policy, mx, addr)
		if session == nil {
			var err error
			if session, err = s.open(ctx, policy, mx, addr); err != nil {
				if ctx.Err() == nil {
					s.Log("not used: %s: %v", addr, err)
				}
				return m.each(err)
			}
		}
		defer s.leave(session)
		return session.send(m)
	})
}

// open opens a session that may carry a message: in TLS or, if TLS fails and the policy allows it,
// in clear text.
func (s *Sender) open(ctx context.Context, policy *mtasts.Policy, mx string, addr netip.Addr) (*session, error) {
	host, err := policy.CheckMX(mx) // again for each address: a Host is one attempt
	if err != nil {
		return nil, err
	}
	session, err := s.connect(ctx, host.Name, addr)
	if err != nil {
		return nil, err
	}
	// For a TLS report. net/smtp does not expose the name by which the host greets.
	host.Connection(session.conn.LocalAddr(), session.conn.RemoteAddr(), "")

	base := s.base()
	cause, refusal := mtasts.ErrNoSTARTTLS, error(nil)
	if session.offersTLS {
		session.limit(replyLimit)
		cause, refusal = starttls.Start(session.smtp, host.TLSConfig(base))
	}
	if ctx.Err() != nil {
		session.close()
		return nil, context.Cause(ctx) // ctx ended the session, which is not a failure of the host
	}
	if cause == nil {
		// The first reply has arrived inside TLS, so the handshake is complete on both sides.
		// Verify the session before the message, whatever the reply is.
		state, _ := session.smtp.TLSConnectionState()
		if err = host.Verify(state); err == nil && refusal != nil {
			err = fmt.Errorf("%s: %w", host.Name, refusal)
		}
		if err != nil {
			session.close()
			return nil, err
		}
		s.Log("%s: %s, %s", host.Name, tls.VersionName(state.Version), verdict(policy, mx, base, state))
		return session, nil
	}

	if err := host.AllowFallback(cause); err != nil {
		session.close()
		return nil, err
	}
	s.Log("%s: clear text, which mode %s allows: %v", host.Name, policy.Mode, cause)
	if session.offersTLS {
		session.close() // it is unusable after a failed STARTTLS
		return s.connect(ctx, host.Name, addr)
	}
	return session, nil
}

// reuse returns an idle session with a host, or nil. The session was opened under another policy
// or for another domain, so it is verified again.
func (s *Sender) reuse(ctx context.Context, policy *mtasts.Policy, mx string, addr netip.Addr) *session {
	host, err := policy.CheckMX(mx)
	if err != nil {
		return nil
	}
	session := s.take(peer{host.Name, addr})
	if session == nil {
		return nil
	}
	if err := session.resume(ctx); err != nil {
		session.close()
		return nil
	}
	host.Connection(session.conn.LocalAddr(), session.conn.RemoteAddr(), "")
	host.TLSConfig(s.base()) // for its roots
	state, _ := session.smtp.TLSConnectionState()
	if err := host.Verify(state); err != nil {
		s.Log("%s: the session is not used again: %v", addr, err)
		session.close()
		return nil
	}
	s.Log("%s: the session is used again", host.Name)
	return session
}

// base is what the Sender demands of TLS: where no policy applies, TLS with any certificate is
// better than clear text.
func (s *Sender) base() *tls.Config {
	return &tls.Config{RootCAs: s.Roots, InsecureSkipVerify: true}
}

// verdict is for the log: it says whether a session is verified. Under mode testing Verify
// reports a failure and returns nil. So verdict calls the Verify of a policy of mode enforce,
// with the same patterns and without reports.
func verdict(policy *mtasts.Policy, mx string, base *tls.Config, state tls.ConnectionState) string {
	if policy.Mode == mtasts.ModeNone {
		return "not verified, because no policy requires it"
	}
	strict := &mtasts.Policy{Domain: policy.Domain, Mode: mtasts.ModeEnforce, MX: policy.MX}
	host, err := strict.CheckMX(mx)
	if err == nil {
		host.TLSConfig(base) // for its roots
		err = host.Verify(state)
	}
	if err != nil {
		return fmt.Sprintf("not verified, which mode %s allows: %v", policy.Mode, err)
	}
	return fmt.Sprintf("verified under mode %s", policy.Mode)
}
