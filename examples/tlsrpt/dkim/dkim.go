// Package dkim shows how to sign the TLS reports that go by mail, with
// github.com/emersion/go-msgauth. It is a module of its own, so that nobody else needs that
// library.
//
//	sign := dkim.Signer("sender.example", "mail2026", key)
//	collector, err := tlsrpt.New(store, tlsrpt.Options{Sign: sign, ...})
package dkim

import (
	"bytes"
	"crypto"

	"github.com/emersion/go-msgauth/dkim"
)

// Signer returns a function for Options.Sign of package tlsrpt. domain must be that of
// Options.Contact. The public part of key, an RSA or Ed25519 key, is in the TXT record at
// selector._domainkey.domain.
//
// The key for ordinary mail will do. RFC 8460, Section 3, wants "s=tlsrpt" in the record, but
// receivers accept reports without it. A record with no other service than tlsrpt fails at
// receivers that verify reports like ordinary mail: "s=email:tlsrpt" suits all.
func Signer(domain, selector string, key crypto.Signer) func(message []byte) ([]byte, error) {
	options := &dkim.SignOptions{
		Domain:                 domain,
		Selector:               selector,
		Signer:                 key,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed,
		BodyCanonicalization:   dkim.CanonicalizationRelaxed,
		// Without HeaderKeys it covers all header fields, so TLS-Report-Domain and
		// TLS-Report-Submitter, too.
	}
	return func(message []byte) ([]byte, error) {
		var signed bytes.Buffer
		err := dkim.Sign(&signed, bytes.NewReader(message), options)
		return signed.Bytes(), err
	}
}
