package delivery

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"

	"github.com/mtasts/go-mtasts/examples/internal/starttls"
	"github.com/mtasts/go-mtasts/mtasts"
)

// tryHost takes m to one MX host, at the first of its addresses that will do.
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

// tryAddress takes m to one address of an MX host, over TLS or else, if the policy lets
// that pass, without.
func (s *Sender) tryAddress(ctx context.Context, policy *mtasts.Policy, mx string, addr netip.Addr, m Message) error {
	host, err := policy.CheckMX(mx) // anew for each address: a Host is one attempt
	if err != nil {
		return err
	}
	session, err := s.connect(ctx, host.Name, addr)
	if err != nil {
		return err
	}
	defer session.close()

	// Where no policy speaks, TLS with any certificate is better than none.
	base := &tls.Config{RootCAs: s.Roots, InsecureSkipVerify: true}
	cause, refusal := mtasts.ErrNoSTARTTLS, error(nil)
	if session.offersTLS {
		session.limit(replyLimit)
		cause, refusal = starttls.Start(session.smtp, host.TLSConfig(base))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // the session ended with ctx, and no host is to blame
	}
	if cause == nil {
		// The first reply has come inside TLS, so that the handshake is over on both
		// sides. Whatever it says, the session is judged, and the message comes after.
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
	s.Log("%s: clear text, which mode %s lets pass: %v", host.Name, policy.Mode, cause)
	if session.offersTLS {
		session.close() // which is of no more use once STARTTLS has failed
		session, err = s.connect(ctx, host.Name, addr)
		if err != nil {
			return err
		}
		defer session.close()
	}
	return session.send(m)
}

// verdict says for the log whether a session is verified. Under mode testing Verify
// reports a failure and lets it pass, so what it would say under enforce is asked of a
// policy that has the same patterns and reports nothing.
func verdict(policy *mtasts.Policy, mx string, base *tls.Config, state tls.ConnectionState) string {
	if policy.Mode == mtasts.ModeNone {
		return "not verified, because no policy demands it"
	}
	strict := &mtasts.Policy{Domain: policy.Domain, Mode: mtasts.ModeEnforce, MX: policy.MX}
	host, err := strict.CheckMX(mx)
	if err == nil {
		host.TLSConfig(base) // for its roots
		err = host.Verify(state)
	}
	if err != nil {
		return fmt.Sprintf("not verified, which mode %s lets pass: %v", policy.Mode, err)
	}
	return fmt.Sprintf("verified under mode %s", policy.Mode)
}
