package mtaststest

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// A Certificate selects the certificate that a host presents. The zero value, [Good], is
// a valid one.
type Certificate int

// The certificates that a host can present.
const (
	Good         Certificate = iota
	Expired                  // ended yesterday
	NotYetValid              // begins tomorrow
	WrongName                // is for another host
	UnknownRoot              // chains to a root that is not trusted
	SelfSigned               // is not signed by an authority
	CommonName               // has the name in the subject only, as was usual long ago
	WildcardName             // is for *.PARENT of the host, and valid
	WrongKey                 // is valid, but the host does not have its key: an impostor
)

// errWrongKey is the error of crypto/tls in a handshake with [WrongKey].
var errWrongKey = errors.New("tls: invalid signature by the server certificate: ECDSA verification failure")

type certKey struct {
	host string
	kind Certificate
}

// certificate returns the certificate of a host, the same each time.
func (w *World) certificate(host string, kind Certificate) tls.Certificate {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := certKey{host, kind}
	cert, ok := w.certs[key]
	if !ok {
		cert = testpki.Must(w.issue(host, kind))
		w.certs[key] = cert
	}
	return cert
}

func (w *World) issue(host string, kind Certificate) (tls.Certificate, error) {
	switch kind {
	case Good:
		return w.ca.Issue(host)
	case Expired:
		return w.ca.IssueExpired(host)
	case NotYetValid:
		return w.ca.IssueNotYetValid(host)
	case WrongName:
		return w.ca.Issue("another-host.invalid")
	case UnknownRoot:
		return w.foreign.Issue(host)
	case SelfSigned:
		return testpki.SelfSigned(host)
	case CommonName:
		return w.ca.IssueCommonNameOnly(host)
	case WildcardName:
		return w.ca.Issue("*." + parent(host))
	case WrongKey:
		cert, err := w.ca.Issue(host)
		if err != nil {
			return cert, err
		}
		other, err := w.ca.Issue(host)
		cert.PrivateKey = other.PrivateKey
		return cert, err
	}
	return tls.Certificate{}, fmt.Errorf("mtaststest: unknown Certificate %d", kind)
}
