package tlsrpt

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"

	"github.com/mtasts/go-mtasts/mtasts"
)

// Options say who reports, and how. [New] copies them.
type Options struct {
	// Organization is the name of who reports, and Contact a mail address of somebody
	// responsible. The domain of Contact is the submitter of the reports: its DKIM key is
	// to sign them (RFC 8460, Sections 3 and 5.3). Both are required.
	Organization, Contact string

	// From is the mail address from which reports come. Required.
	From string

	// SendMail sends a finished message, which has a header field "TLS-Required: No" (RFC
	// 8689), to one address. It is to ask [mtasts.NoPolicy] for the policy, so that
	// nothing holds the message back and no report counts it. Nil means that somebody else
	// is responsible for it from now on. An error that wraps [ErrRefused] means that the
	// address takes none: it gets nothing about the domain for a week. After any other
	// error the message is sent again later. SendMail is called concurrently, and must end
	// soon after ctx does. Required.
	SendMail func(ctx context.Context, from, to string, message []byte) error

	// Sign returns a message with its DKIM signature (RFC 8460, Section 3: receivers
	// ignore reports without one). Nil: SendMail sees to it.
	Sign func(message []byte) ([]byte, error)

	// Resolver looks up the records of domains, and the hosts of https: destinations as
	// that of [mtasts.Options] does those of policies. Nil: [resolver.System]{}.
	Resolver mtasts.Resolver

	// RootCAs are the roots that https: destinations must chain to. Nil: the system's.
	RootCAs *x509.CertPool

	// AllowNets are networks in which https: destinations may live besides the public
	// Internet. Nil: none.
	AllowNets []netip.Prefix

	// Log is told of trouble that an operator can do something about, and of what is
	// dropped. Nil: nobody is.
	Log *slog.Logger
}

// Stats are counters since New. Outcomes are those of sessions. The other counters may include
// what was counted before a restart.
type Stats struct {
	Outcomes uint64 // counted

	Reported    uint64 // outcomes in reports that at least one destination has accepted
	Unwanted    uint64 // outcomes of domains that have no valid TLSRPT record
	Unconfirmed uint64 // outcomes in reports that were sent when the process ended: see the package
	Dropped     uint64 // outcomes that no report has, for any other reason

	Reports     uint64 // deliveries that were accepted
	Failures    uint64 // deliveries that were refused or failed
	StoreErrors uint64 // failures of the store

	Memory int // octets that the counts take in memory now, an estimate; at most 256 MiB
}
