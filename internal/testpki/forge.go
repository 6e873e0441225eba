package testpki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// A TBS is what an authority signs (RFC 5280, Section 4.1).
type TBS struct {
	Version                        int `asn1:"optional,explicit,default:0,tag:0"`
	Serial                         *big.Int
	Algorithm                      pkix.AlgorithmIdentifier
	Issuer, Validity, Subject, Key asn1.RawValue
	Extensions                     []pkix.Extension `asn1:"optional,omitempty,explicit,tag:3"`
}

// Forge alters the certificate der by change, and signs the result with ca. It is for
// faults that crypto/x509 does not make. The signature is ECDSA with SHA-256, even if
// change sets another algorithm.
func (ca *CA) Forge(der []byte, change func(*TBS)) ([]byte, error) {
	var cert struct {
		TBS       TBS
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		return nil, fmt.Errorf("testpki: parse a certificate: %w", err)
	}
	change(&cert.TBS)
	tbs, err := asn1.Marshal(cert.TBS)
	if err != nil {
		return nil, fmt.Errorf("testpki: encode a certificate: %w", err)
	}
	digest := sha256.Sum256(tbs)
	signature, err := ca.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("testpki: sign a certificate: %w", err)
	}
	cert.Algorithm = cert.TBS.Algorithm
	cert.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	return asn1.Marshal(cert)
}
