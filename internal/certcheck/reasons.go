package certcheck

// The failure-reason-codes of [Classify], of which package mtasts exports and explains
// each. A code is a token of lower-case letters, digits and '-', and never text from the
// network. Two more codes hold a number:
//
//   - "smtp-NNN", with starttls-not-supported: the reply code to STARTTLS, 200 to 599;
//   - "tls-alert-N", with validation-failure: the IANA number of a TLS alert, received
//     or sent, 0 to 255.

// A reason for starttls-not-supported.
const ReasonSMTPReply = "smtp-reply"

// Reasons for certificate-host-mismatch.
const (
	ReasonNoDNSID     = "no-dns-id"
	ReasonNotADNSName = "not-a-dns-name"
)

// A reason for certificate-expired.
const ReasonIssuerExpired = "issuer-expired"

// Reasons for certificate-not-trusted.
const (
	ReasonUnknownAuthority           = "unknown-authority"
	ReasonSelfSigned                 = "self-signed"
	ReasonNoCertificate              = "no-certificate"
	ReasonCertificateNotYetValid     = "certificate-not-yet-valid"
	ReasonIssuerNotYetValid          = "issuer-not-yet-valid"
	ReasonIssuerNotACA               = "issuer-not-a-ca"
	ReasonIssuerNameMismatch         = "issuer-name-mismatch"
	ReasonIssuerConstraint           = "issuer-constraint"
	ReasonChainTooLong               = "chain-too-long"
	ReasonWrongKeyUsage              = "wrong-key-usage"
	ReasonNoValidChain               = "no-valid-chain"
	ReasonUnhandledCriticalExtension = "unhandled-critical-extension"
	ReasonInvalidChain               = "invalid-chain"
	ReasonInsecureSignature          = "insecure-signature"
	ReasonUnsupportedSignature       = "unsupported-signature"
	ReasonInvalidSignature           = "invalid-signature"
	ReasonInvalidHandshakeSignature  = "invalid-handshake-signature"
	ReasonKeyTooLarge                = "key-too-large"
	ReasonKeyTooSmall                = "key-too-small"
	ReasonUnsupportedKey             = "unsupported-key"
	ReasonNegativeSerial             = "negative-serial-number"
	ReasonMalformedCertificate       = "certificate-malformed"
)

// Reasons for validation-failure.
const (
	ReasonNoAuthorities      = "no-certificate-authorities"
	ReasonNotTLS             = "not-tls"
	ReasonUnsupportedVersion = "unsupported-tls-version"
	ReasonCanceled           = "canceled"
	ReasonTimeout            = "timeout"
	ReasonDNSFailure         = "dns-failure"
	ReasonConnectFailed      = "connect-failed"
	ReasonConnectionLost     = "connection-lost"
	ReasonUnspecified        = "unspecified"
)
