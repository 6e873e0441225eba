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
func (s *Sender) tryHost(ctx context.Context, policy *mtasts.Policy, mx string, m Message) error {
	if _, err := policy.CheckMX(mx); err != nil {
		s.Log("not used: %v", err)
		return err
	}
	addrs, err := s.DNS.LookupNetIP(ctx, "ip", mx)
	if err != nil {
		s.Log("not used: %s: %v", mx, err)
		return err
	}
	return tryEach(ctx, addrs, func(addr netip.Addr) error {
		err := s.tryAddress(ctx, policy, mx, addr, m)
		if err != nil && ctx.Err() == nil {
			s.Log("not used: %s: %v", addr, err)
		}
		return err
	})
}

// tryAddress delivers m to one address of an MX host: over TLS or, if TLS fails and the policy
// allows it, in clear text.
func (s *Sender) tryAddress(ctx context.Context, policy *mtasts.Policy, mx string, addr netip.Addr, m Message) error {
	host, err := policy.CheckMX(mx) // again for each address: a Host is one attempt
	if err != nil {
		return err
	}
	session, err := s.connect(ctx, host.Name, addr)
	if err != nil {
		return err
	}
	defer session.close()
	// For a TLS report. net/smtp does not expose the name by which the host greets.
	host.Connection(session.conn.LocalAddr(), session.conn.RemoteAddr(), "")

	// Where no policy applies, TLS with any certificate is better than clear text.
	base := &tls.Config{RootCAs: s.Roots, InsecureSkipVerify: true}
	cause, refusal := mtasts.ErrNoSTARTTLS, error(nil)
	if session.offersTLS {
		session.limit(replyLimit)
		cause, refusal = starttls.Start(session.smtp, host.TLSConfig(base))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // ctx ended the session, which is not a failure of the host
	}
	if cause == nil {
		// The first reply has arrived inside TLS, so the handshake is complete on both sides.
		// Verify the session before the message, whatever the reply is.
		state, _ := session.smtp.TLSConnectionState()
		if err := host.Verify(state); err != nil {
			return err
		}
		if refusal != nil {
			return fmt.Errorf("%s: %w", host.Name, refusal)
		}
		s.Log("%s: %s, %s", host.Name, tls.VersionName(state.Version), verdict(policy, mx, base, state))
		return session.send(m)
	}

	if err := host.AllowFallback(cause); err != nil {
		return err
	}
	s.Log("%s: clear text, which mode %s allows: %v", host.Name, policy.Mode, cause)
	if session.offersTLS {
		session.close() // it is unusable after a failed STARTTLS
		session, err = s.connect(ctx, host.Name, addr)
		if err != nil {
			return err
		}
		defer session.close()
	}
	return session.send(m)
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
