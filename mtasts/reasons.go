package mtasts

import "github.com/mtasts/go-mtasts/internal/certcheck"

// What an [Error] or [Event] has as its Reason: a failure-reason-code in the sense of RFC
// 8460, Section 4.4, from a bounded set, and never text from the network. Besides these
// there are smtp-NNN, the code of the reply to STARTTLS, and tls-alert-NN, an alert of
// TLS by its IANA number, sent or received.

// Why there is no policy, or none that is newer.
const (
	ReasonNoRecord       = "no-txt-record"      // no TXT record begins with "v=STSv1;"
	ReasonRecordInvalid  = "txt-record-invalid" // the only one that does is malformed
	ReasonRecordsMany    = "txt-records-many"   // several do
	ReasonNotAPolicyFile = "not-a-policy-file"  // status, media type or size of the answer
	ReasonPolicyInvalid  = "policy-invalid"     // the file is malformed
	ReasonAddressLiteral = "address-literal"    // an address has no policy
	ReasonNotAsked       = "not-asked"          // the sender does not want one: see NoPolicy
)

// Why an MX host must not be used, or why a session with it was not verified.
const (
	ReasonMXNotListed         = "mx-not-listed"         // no mx pattern of the policy matches it
	ReasonSTARTTLSNotOffered  = "starttls-not-offered"  // EHLO did not list STARTTLS
	ReasonSTARTTLSUnavailable = "starttls-unavailable"  // not offered or refused, in a library's own words
	ReasonNotEncrypted        = "not-encrypted"         // Verify was given no TLS session
	ReasonTLSVersion          = "tls-version"           // older than TLS 1.2
	ReasonSenderCheck         = "sender-check-failed"   // a check in the sender's own tls.Config, such as DANE
	ReasonConfigChanged       = "configuration-changed" // the result of TLSConfig was loosened afterwards
)

// Trouble of this client and its store.
const (
	ReasonInvalidDomain   = "invalid-domain"
	ReasonCallerLeft      = "caller-left" // ctx ended, and nothing was known
	ReasonBusy            = "busy"
	ReasonClosed          = "closed"
	ReasonClosing         = "closing"
	ReasonAlreadyRunning  = "already-running"
	ReasonStoreUnreadable = "store-unreadable"
	ReasonStoreReadable   = "store-readable" // again
	ReasonStoreUnwritable = "store-unwritable"
	ReasonStoreWritable   = "store-writable" // again
	ReasonStoreFull       = "store-full"     // it is above Options.Quota
)

// What is remarkable about a policy that takes the place of another.
const (
	ReasonEnforcementEnded = "enforcement-ended"    // from enforce to testing or none
	ReasonPatternsAdded    = "patterns-added"       // to those there were, all of which stay
	ReasonSameIDOther      = "same-id-other-policy" // the file has changed and the id has not
	ReasonNewIDSame        = "new-id-same-policy"   // the other way round
)

// What is wrong with a certificate, its issuers or the signature of the handshake, of an
// MX host or a policy host. An expired certificate of the host itself, and one for another
// name, have no reason: the Result says it all.
const (
	ReasonNoDNSID                    = certcheck.ReasonNoDNSID                    // no DNS name at all; a common name is none
	ReasonNotADNSName                = certcheck.ReasonNotADNSName                // the host was asked for by an address
	ReasonIssuerExpired              = certcheck.ReasonIssuerExpired              // an intermediate or the root
	ReasonCertificateNotYetValid     = certcheck.ReasonCertificateNotYetValid     // that of the host
	ReasonIssuerNotYetValid          = certcheck.ReasonIssuerNotYetValid          // an intermediate or the root
	ReasonUnknownAuthority           = certcheck.ReasonUnknownAuthority           // the chain ends at no trusted root
	ReasonSelfSigned                 = certcheck.ReasonSelfSigned                 // the certificate names itself as its issuer
	ReasonNoCertificate              = certcheck.ReasonNoCertificate              // the host sent none
	ReasonIssuerNotACA               = certcheck.ReasonIssuerNotACA               // by basicConstraints or keyUsage
	ReasonIssuerNameMismatch         = certcheck.ReasonIssuerNameMismatch         // the issuer has another name
	ReasonIssuerConstraint           = certcheck.ReasonIssuerConstraint           // it may not sign for this name
	ReasonChainTooLong               = certcheck.ReasonChainTooLong               // for a pathLenConstraint
	ReasonWrongKeyUsage              = certcheck.ReasonWrongKeyUsage              // extKeyUsage allows no TLS server
	ReasonNoValidChain               = certcheck.ReasonNoValidChain               // none satisfies all certificate policies
	ReasonUnhandledCriticalExtension = certcheck.ReasonUnhandledCriticalExtension // crypto/x509 does not know it
	ReasonInvalidChain               = certcheck.ReasonInvalidChain               // none of these
	ReasonInsecureSignature          = certcheck.ReasonInsecureSignature          // MD5 or SHA-1
	ReasonUnsupportedSignature       = certcheck.ReasonUnsupportedSignature       // an algorithm that Go does not know
	ReasonInvalidSignature           = certcheck.ReasonInvalidSignature           // the issuer did not make it
	ReasonInvalidHandshakeSignature  = certcheck.ReasonInvalidHandshakeSignature  // the host does not hold the key
	ReasonKeyTooLarge                = certcheck.ReasonKeyTooLarge                // RSA above 8192 bits
	ReasonKeyTooSmall                = certcheck.ReasonKeyTooSmall                // RSA below 1024 bits
	ReasonUnsupportedKey             = certcheck.ReasonUnsupportedKey             // its type or curve
	ReasonNegativeSerial             = certcheck.ReasonNegativeSerial             // the serial number is negative
	ReasonMalformedCertificate       = certcheck.ReasonMalformedCertificate       // it cannot be parsed
)

// What kept a session from coming about, or the DNS or the policy host from answering.
const (
	ReasonNoAuthorities      = certcheck.ReasonNoAuthorities      // this machine has no CA certificates
	ReasonSMTPReply          = certcheck.ReasonSMTPReply          // to STARTTLS, with a code that is none
	ReasonNotTLS             = certcheck.ReasonNotTLS             // what the host sent is not TLS
	ReasonUnsupportedVersion = certcheck.ReasonUnsupportedVersion // of TLS, chosen by the host
	ReasonCanceled           = certcheck.ReasonCanceled           // by the sender
	ReasonTimeout            = certcheck.ReasonTimeout            // a time limit has ended
	ReasonDNSFailure         = certcheck.ReasonDNSFailure         // the DNS gave no answer
	ReasonConnectFailed      = certcheck.ReasonConnectFailed      // no connection could be made
	ReasonConnectionLost     = certcheck.ReasonConnectionLost     // it was closed or reset
	ReasonUnspecified        = certcheck.ReasonUnspecified        // none of these
)
