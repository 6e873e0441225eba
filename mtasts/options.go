package mtasts

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// A Resolver answers the look-up of TXT records. *[net.Resolver] is one, and so
// are [resolver.System] and [resolver.Fake].
//
// A Resolver that also has the method LookupNetIP of *[net.Resolver] is asked
// for the addresses of policy hosts as well; otherwise the system is.
type Resolver interface {
	// LookupTXT returns the TXT records of name, which is absolute: it ends in
	// a dot. The character-strings of one record are joined without a space
	// (RFC 8461, Section 3.1). That there is no such record must be an error
	// that wraps a *[net.DNSError] with IsNotFound set, or an empty list; any
	// other error means that it could not be found out. It must end soon
	// after ctx does; *[net.Resolver] takes until its own time-out, some seconds.
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Options configure a [Client]. Nil and the zero value are the usual choice. [Open] and
// [New] copy them.
type Options struct {
	// Resolver is asked for TXT records. Nil: [resolver.System]{}.
	Resolver Resolver

	// Transport carries the requests to policy hosts, for example through a
	// proxy. Nil: one of the package's own, which is what Section 3.3 of RFC
	// 8461 asks for, dials only public addresses, and leaves no connection
	// open. With any Transport redirects are refused, and status, media type, size
	// and certificate are checked; but where it connects to is its own affair, so
	// that AllowNets does not apply to it. It must heed the request's context; for an
	// *http.Transport set TLSHandshakeTimeout, because it finishes a handshake that
	// no request waits for any more.
	Transport http.RoundTripper

	// RootCAs are the roots that policy hosts must chain to. Nil: the system's,
	// or those of Transport. An MX is verified against the roots of the base
	// that is passed to [Host.TLSConfig].
	RootCAs *x509.CertPool

	// AllowNets are networks in which policy hosts may live besides the public
	// Internet. Nil: none, so that no publisher can send requests into the
	// operator's own networks.
	AllowNets []netip.Prefix

	// CheckInterval is for how long an answer is given without a check of the TXT
	// record. A cached policy that is older is still given at once, and the check is
	// made behind it. 0: 5 minutes. Negative: check on every call, and wait for it.
	CheckInterval time.Duration

	// MemoryEntries is how many domains are held in memory, with and without a
	// policy; one with a policy file above 1 KiB counts once for each KiB.
	// 0: 65,536. The store is not bounded by it.
	MemoryEntries int

	// Quota is how many octets of policies the store may hold before [Client.Run]
	// evicts entries, each with an [EventEvicted]: first those of mode none, then
	// testing, then those that nobody has asked about for longest. One that enforces
	// and was in use within a day always stays. 0: 1 GiB.
	Quota int64

	// Override lets the operator exempt a domain from its policy, or all domains,
	// or only observe what enforcing would do: see [Action]. It is asked for each
	// answer and each event, concurrently, with the policy domain as a lower-case
	// A-label, and must not block. False, or an Action that is none, leaves the
	// policy alone. Nil: no override.
	Override func(domain string) (Action, bool)

	// Report is called with each [Event], concurrently, by whoever caused it: it
	// must not block, nor call the client. Nil: none.
	Report func(Event)

	// Logger is told of trouble that an operator can do something about. Nil:
	// nobody is.
	Logger *slog.Logger
}

const (
	defaultCheckInterval = 5 * time.Minute
	defaultMemoryEntries = 1 << 16
)
