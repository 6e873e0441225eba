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
		session, err := s.open(ctx, policy, mx, addr)
		if err != nil {
			s.Log("not used: %s: %v", addr, err)
			return m.each(err)
		}
		defer s.leave(session)
		return session.send(m)
	})
}

// open returns a session that may carry a message: an idle one or a new one, in TLS or, if TLS fails
// and the policy allows it, in clear text.
func (s *Sender) open(ctx context.Context, policy *mtasts.Policy, mx string, addr netip.Addr) (*session, error) {
	host, err := policy.CheckMX(mx) // again for each address: a Host is one attempt
	if err != nil {
		return nil, err
	}
	if idle := s.take(ctx, peer{host.Name, addr}); idle != nil {
		// It was opened under another policy or for another domain, so verify it again.
		s.prepare(host, idle)
		state, _ := idle.smtp.TLSConnectionState()
		if host.Verify(state) == nil {
			s.Log("%s: the session is used again, under mode %s", host.Name, policy.Mode)
			return idle, nil
		}
		idle.close()
		if host, err = policy.CheckMX(mx); err != nil {
			return nil, err
		}
	}
	session, err := s.connect(ctx, host.Name, addr)
	if err != nil {
		return nil, err
	}
	cause, refusal := mtasts.ErrNoSTARTTLS, error(nil)
	config := s.prepare(host, session)
	if session.offersTLS {
		cause, refusal = starttls.Start(session.smtp, config)
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
		s.Log("%s: %s under mode %s", host.Name, tls.VersionName(state.Version), policy.Mode)
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

// prepare tells host what Verify and a TLS report need. It returns what the Sender demands of TLS:
// where no policy applies, TLS with any certificate is better than clear text.
func (s *Sender) prepare(host *mtasts.Host, session *session) *tls.Config {
	host.Connection(session.conn.LocalAddr(), session.conn.RemoteAddr(), "") // net/smtp hides the greeting
	return host.TLSConfig(&tls.Config{RootCAs: s.Roots, InsecureSkipVerify: true})
}
