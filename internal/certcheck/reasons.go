package certcheck

// The failure-reason-codes. Each is a short token of lower-case letters, digits
// and '-', and none holds anything that a peer sent. Beside these constants
// there are two that hold a number:
//
//   - "smtp-NNN", with starttls-not-supported: the reply code to STARTTLS, of 200
//     to 599, as in "smtp-454";
//   - "tls-alert-N", with validation-failure: an alert, received or sent, by its
//     IANA number of 0 to 255, as in "tls-alert-40".
//
// An empty reason means that the result says it all.

// Reasons for starttls-not-supported.
const (
	// ReasonSMTPReply: the reply to STARTTLS has a code that SMTP does not know.
	ReasonSMTPReply = "smtp-reply"
)

// Reasons for certificate-host-mismatch.
const (
	// ReasonNoDNSID: the certificate has no DNS SAN at all. A common name is none.
	ReasonNoDNSID = "no-dns-id"
	// ReasonNotADNSName: the server was asked for by an address or by nothing.
	ReasonNotADNSName = "not-a-dns-name"
)

// Reasons for certificate-expired. An expired certificate of the server itself
// has none.
const (
	// ReasonIssuerExpired: an intermediate or the root has expired.
	ReasonIssuerExpired = "issuer-expired"
)

// Reasons for certificate-not-trusted: no path from the certificate to a root.
const (
	// ReasonUnknownAuthority: the chain ends at an issuer that is no trusted root.
	ReasonUnknownAuthority = "unknown-authority"
	// ReasonSelfSigned: the server's certificate names itself as its issuer.
	ReasonSelfSigned = "self-signed"
	// ReasonNoCertificate: the server sent no certificate.
	ReasonNoCertificate = "no-certificate"
	// ReasonCertificateNotYetValid: the server's certificate is not valid yet.
	ReasonCertificateNotYetValid = "certificate-not-yet-valid"
	// ReasonIssuerNotYetValid: an intermediate or the root is not valid yet.
	ReasonIssuerNotYetValid = "issuer-not-yet-valid"
	// ReasonIssuerNotACA: an issuer may not sign certificates by its
	// basicConstraints or keyUsage.
	ReasonIssuerNotACA = "issuer-not-a-ca"
	// ReasonIssuerNameMismatch: an issuer has another name than the certificate says.
	ReasonIssuerNameMismatch = "issuer-name-mismatch"
	// ReasonIssuerConstraint: an issuer may not sign for this name.
	ReasonIssuerConstraint = "issuer-constraint"
	// ReasonChainTooLong: the chain is longer than an issuer's pathLenConstraint allows.
	ReasonChainTooLong = "chain-too-long"
	// ReasonWrongKeyUsage: the extKeyUsage of the certificate or of an issuer does
	// not allow a TLS server.
	ReasonWrongKeyUsage = "wrong-key-usage"
	// ReasonNoValidChain: there are chains, but none satisfies all policies.
	ReasonNoValidChain = "no-valid-chain"
	// ReasonUnhandledCriticalExtension: a certificate has a critical extension that
	// crypto/x509 does not know.
	ReasonUnhandledCriticalExtension = "unhandled-critical-extension"
	// ReasonInvalidChain: the chain is invalid in a way that has no reason here.
	ReasonInvalidChain = "invalid-chain"
)

// Reasons for certificate-not-trusted: signatures, keys and syntax.
const (
	// ReasonInsecureSignature: a certificate is signed with MD5 or SHA-1.
	ReasonInsecureSignature = "insecure-signature"
	// ReasonUnsupportedSignature: a certificate is signed with an algorithm that
	// crypto/x509 does not know.
	ReasonUnsupportedSignature = "unsupported-signature"
	// ReasonInvalidSignature: the issuer that the server sent did not make the
	// signature. Most often it is an old intermediate of the same name.
	ReasonInvalidSignature = "invalid-signature"
	// ReasonInvalidHandshakeSignature: the server does not hold the key of its
	// certificate, or signed the handshake with an algorithm that was not offered.
	ReasonInvalidHandshakeSignature = "invalid-handshake-signature"
	// ReasonKeyTooLarge: an RSA key is too large, for Go above 8192 bits.
	ReasonKeyTooLarge = "key-too-large"
	// ReasonKeyTooSmall: an RSA key is too small, for Go below 1024 bits.
	ReasonKeyTooSmall = "key-too-small"
	// ReasonUnsupportedKey: a key is of a type or on a curve that crypto/tls does
	// not support, or not of the type that the cipher suite needs.
	ReasonUnsupportedKey = "unsupported-key"
	// ReasonNegativeSerial: a serial number is negative (RFC 5280, Section 4.1.2.2).
	ReasonNegativeSerial = "negative-serial-number"
	// ReasonMalformedCertificate: a certificate could not be parsed.
	ReasonMalformedCertificate = "certificate-malformed"
)

// Reasons for validation-failure.
const (
	// ReasonNoAuthorities: this machine has no CA certificates, or cannot read them.
	// Nothing is known to be wrong with the server.
	ReasonNoAuthorities = "no-certificate-authorities"
	// ReasonNotTLS: what the server sent is not TLS.
	ReasonNotTLS = "not-tls"
	// ReasonUnsupportedVersion: the server chose a version of TLS that was not offered.
	ReasonUnsupportedVersion = "unsupported-tls-version"
	// ReasonCanceled: the caller canceled the attempt.
	ReasonCanceled = "canceled"
	// ReasonTimeout: a time limit ended.
	ReasonTimeout = "timeout"
	// ReasonDNSFailure: the name could not be resolved.
	ReasonDNSFailure = "dns-failure"
	// ReasonConnectFailed: no connection could be made.
	ReasonConnectFailed = "connect-failed"
	// ReasonConnectionLost: the connection was closed or reset.
	ReasonConnectionLost = "connection-lost"
	// ReasonUnspecified: none of the others.
	ReasonUnspecified = "unspecified"
)
