// Package cli has what the programs among the examples share: the values of flags, and text that is
// safe on a terminal.
package cli

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net/mail"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/mtasts/go-mtasts/resolver"
)

// MaxLine bounds what Printable returns, in octets, but for the mark of its cut.
const MaxLine = 1000

// Printable returns s, which may have untrusted text, as one line that is safe on a terminal. It
// does not escape a backslash, since package mtasts has escaped its own texts.
func Printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= MaxLine {
			b.WriteString("...")
			break
		}
		switch escaped := strconv.QuoteRuneToASCII(r); {
		case r == '\n': // between the lines of a reply, or several errors
			b.WriteString("; ")
		case ' ' <= r && r <= '~':
			b.WriteRune(r)
		default:
			b.WriteString(escaped[1 : len(escaped)-1])
		}
	}
	return b.String()
}

// ReadRoots returns the system's CAs and those in a PEM file. It fails if the file cannot be
// read or has no certificate.
func ReadRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", file)
	}
	return pool, nil
}

// A Network has the values of the flags -dns, -roots and -allow.
type Network struct {
	DNS   resolver.System
	Roots *x509.CertPool // nil for the system's
	Allow []netip.Prefix
}

// Define defines the flags.
func (n *Network) Define(f *flag.FlagSet) {
	f.Func("dns", "`address:port` of the DNS resolver (default the system's)", func(s string) error {
		server, err := netip.ParseAddrPort(s)
		n.DNS.Server = server.String()
		return err
	})
	f.Func("roots", "PEM `file` of additional trusted CAs,\nfor policy hosts and MX hosts", func(s string) (err error) {
		n.Roots, err = ReadRoots(s)
		return err
	})
	f.Func("allow", "`networks`, separated by commas, where policy hosts are allowed\n"+
		"besides the public Internet, such as 10.0.0.0/8,fd00::/8", func(s string) error {
		for field := range strings.SplitSeq(s, ",") {
			network, err := netip.ParsePrefix(field)
			if err != nil {
				return err
			}
			n.Allow = append(n.Allow, network)
		}
		return nil
	})
}

// CheckAddress accepts only a plain address such as a@example.com. An address outside ASCII
// needs SMTPUTF8 (RFC 6531). An address literal has no MX records.
func CheckAddress(s string) error {
	parsed, err := mail.ParseAddress(s)
	if err != nil {
		return err
	}
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '[' {
			return errors.New("must be ASCII, with a domain name in its xn-- form")
		}
	}
	if parsed.Address != s {
		return fmt.Errorf("must be a bare address, such as %s", parsed.Address)
	}
	return nil
}
