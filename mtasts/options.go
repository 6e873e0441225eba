package mtasts

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// A Resolver looks up TXT records. *[net.Resolver], [resolver.System] and [resolver.Fake]
// are Resolvers.
//
// A Resolver that also has the method LookupNetIP of *[net.Resolver] looks up the addresses
// of policy hosts too. Otherwise the system does.
type Resolver interface {
	// LookupTXT returns the TXT records of name, which ends in a dot. It joins the
	// character-strings of one record without a space (RFC 8461, Section 3.1).
	//
	// If there is no such record, it returns an empty list, or an error that wraps a
	// *[net.DNSError] with IsNotFound set. Any other error means that the DNS gave no
	// answer.
	//
	// It must return soon after ctx ends. *[net.Resolver] takes some seconds.
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Options configure a [Client]. Nil and the zero value are the usual choice. [Open] and
// [New] copy them.
type Options struct {
	// Resolver looks up TXT records. Nil: [resolver.System]{}.
	Resolver Resolver

	// Transport carries the requests to policy hosts, for example through a proxy. Nil:
	// a transport that follows RFC 8461, Section 3.3, dials only public addresses, and
	// leaves no connection open.
	//
	// With any Transport the client refuses redirects and checks status, media type,
	// size and certificate. AllowNets does not apply to it. A Transport must heed the
	// request's context. An *http.Transport goes on with a TLS handshake after the request
	// has ended, so set its TLSHandshakeTimeout.
	Transport http.RoundTripper

	// RootCAs are the roots that policy hosts must chain to. Nil: the system's, or those
	// of Transport. The roots for MX hosts are those of the base that is passed to
	// [Host.TLSConfig].
	RootCAs *x509.CertPool

	// AllowNets are networks outside the public Internet in which policy hosts are allowed.
	// Nil: none, so no publisher can direct requests into the operator's own networks.
	AllowNets []netip.Prefix

	// CheckInterval is how long after a check of the TXT record answers need no other check.
	// After that, a cached policy is still answered at once, and the check runs in the
	// background. 0: 5 minutes. Negative: each call waits for a check.
	CheckInterval time.Duration

	// MemoryEntries is how many domains memory holds, with and without a policy. A
	// policy file above 1 KiB counts once for each KiB. 0: 65,536. It does not bound
	// the store.
	MemoryEntries int

	// Quota is how many octets of policies the store may hold before [Client.Run]
	// evicts entries: first those of mode none, then those of mode testing, then those
	// that have been idle longest. It never evicts a policy of mode enforce that was used
	// within a day. Each eviction is an [EventEvicted]. It does not apply to a
	// [SharedStore]. 0: 1 GiB.
	Quota int64

	// Override exempts domains from their policies, or only observes what enforcing
	// would do: see [Action]. The client calls it for each answer and each event,
	// concurrently, with the policy domain as a lower-case A-label. It must not block.
	// If it returns false or an unknown Action, the policy applies. Nil: no override.
	Override func(domain string) (Action, bool)

	// Report is called with each [Event], concurrently. It must not block, nor call
	// the client. Nil: no reports.
	Report func(Event)

	// Logger logs what an operator can do something about. Nil: no log.
	Logger *slog.Logger
}

const (
	defaultCheckInterval = 5 * time.Minute
	defaultMemoryEntries = 1 << 16
)
