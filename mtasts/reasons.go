package mtasts

import "github.com/mtasts/go-mtasts/internal/certcheck"

// Why a policy could not be found.
const (
	ReasonNoRecord       = "no-txt-record"      // no TXT record begins with "v=STSv1;"
	ReasonRecordInvalid  = "txt-record-invalid" // there is one, and it is malformed
	ReasonRecordsMany    = "txt-records-many"   // there are several
	ReasonNotAPolicyFile = "not-a-policy-file"  // status, media type or size of the answer
	ReasonPolicyInvalid  = "policy-invalid"     // the file is malformed
	ReasonAddressLiteral = "address-literal"    // an address has no policy
	ReasonNotAsked       = "not-asked"          // see NoPolicy
)

// Why an MX host must not be used, or why a session with it was not verified.
const (
	ReasonMXNotListed         = "mx-not-listed"         // no mx pattern of the policy matches it
	ReasonSTARTTLSNotOffered  = "starttls-not-offered"  // EHLO did not list STARTTLS
	ReasonSTARTTLSUnavailable = "starttls-unavailable"  // not offered or refused: an SMTP library did not say which
	ReasonNotEncrypted        = "not-encrypted"         // the session passed to Verify is not TLS
	ReasonTLSVersion          = "tls-version"           // older than TLS 1.2
	ReasonSenderCheck         = "sender-check-failed"   // a check in the sender's tls.Config failed, such as DANE
	ReasonConfigChanged       = "configuration-changed" // the sender loosened what TLSConfig returned
)

// Errors of the client and its store.
const (
	ReasonInvalidDomain   = "invalid-domain"
	ReasonCallerLeft      = "caller-left"     // the context ended, and nothing was cached
	ReasonBusy            = "busy"            // too many domains are being looked up
	ReasonClosed          = "closed"          // the client is closed
	ReasonClosing         = "closing"         // Close failed
	ReasonAlreadyRunning  = "already-running" // Run is running
	ReasonStoreUnreadable = "store-unreadable"
	ReasonStoreReadable   = "store-readable" // it can be read again
	ReasonStoreUnwritable = "store-unwritable"
	ReasonStoreWritable   = "store-writable" // it can be written again
	ReasonStoreFull       = "store-full"     // it is above Options.Quota
)

// What an EventChange says about a policy that has replaced another.
const (
	ReasonEnforcementEnded = "enforcement-ended"    // from enforce to testing or none
	ReasonPatternsAdded    = "patterns-added"       // and none removed
	ReasonSameIDOther      = "same-id-other-policy" // the file changed, the id did not
	ReasonNewIDSame        = "new-id-same-policy"   // the id changed, the file did not
)

// What is wrong with the certificate of an MX host or policy host, with its issuers, or with
// the signature of the handshake. An expired certificate of the host itself, and one for
// another name, have no Reason: the Result is enough.
const (
	ReasonNoDNSID                    = certcheck.ReasonNoDNSID                    // it has no DNS name; a common name does not count
	ReasonNotADNSName                = certcheck.ReasonNotADNSName                // the host is an address
	ReasonIssuerExpired              = certcheck.ReasonIssuerExpired              // an intermediate or the root
	ReasonCertificateNotYetValid     = certcheck.ReasonCertificateNotYetValid     // the host's own
	ReasonIssuerNotYetValid          = certcheck.ReasonIssuerNotYetValid          // an intermediate or the root
	ReasonUnknownAuthority           = certcheck.ReasonUnknownAuthority           // the chain ends at no trusted root
	ReasonSelfSigned                 = certcheck.ReasonSelfSigned                 // the certificate names itself as its issuer
	ReasonNoCertificate              = certcheck.ReasonNoCertificate              // the host sent none
	ReasonIssuerNotACA               = certcheck.ReasonIssuerNotACA               // by its basicConstraints or keyUsage
	ReasonIssuerNameMismatch         = certcheck.ReasonIssuerNameMismatch         // the issuer has another name than the certificate says
	ReasonIssuerConstraint           = certcheck.ReasonIssuerConstraint           // the issuer may not sign for this name
	ReasonChainTooLong               = certcheck.ReasonChainTooLong               // a pathLenConstraint forbids it
	ReasonWrongKeyUsage              = certcheck.ReasonWrongKeyUsage              // extKeyUsage allows no TLS server
	ReasonNoValidChain               = certcheck.ReasonNoValidChain               // no chain satisfies all certificate policies
	ReasonUnhandledCriticalExtension = certcheck.ReasonUnhandledCriticalExtension // crypto/x509 does not know it
	ReasonInvalidChain               = certcheck.ReasonInvalidChain               // anything else about the chain
	ReasonInsecureSignature          = certcheck.ReasonInsecureSignature          // MD5 or SHA-1
	ReasonUnsupportedSignature       = certcheck.ReasonUnsupportedSignature       // Go does not know its algorithm
	ReasonInvalidSignature           = certcheck.ReasonInvalidSignature           // the issuer did not make it
	ReasonInvalidHandshakeSignature  = certcheck.ReasonInvalidHandshakeSignature  // the host does not hold the key
	ReasonKeyTooLarge                = certcheck.ReasonKeyTooLarge                // RSA above 8192 bits
	ReasonKeyTooSmall                = certcheck.ReasonKeyTooSmall                // RSA below 1024 bits
	ReasonUnsupportedKey             = certcheck.ReasonUnsupportedKey             // its type or curve
	ReasonNegativeSerial             = certcheck.ReasonNegativeSerial             // the serial number is negative
	ReasonMalformedCertificate       = certcheck.ReasonMalformedCertificate       // it cannot be parsed
)

// Other reasons why a session, a look-up or a fetch failed.
const (
	ReasonNoAuthorities      = certcheck.ReasonNoAuthorities      // this machine has no CA certificates
	ReasonSMTPReply          = certcheck.ReasonSMTPReply          // the reply to STARTTLS has no valid code
	ReasonNotTLS             = certcheck.ReasonNotTLS             // what the host sent is not TLS
	ReasonUnsupportedVersion = certcheck.ReasonUnsupportedVersion // the host chose a TLS version that was not offered
	ReasonCanceled           = certcheck.ReasonCanceled           // the sender ended it
	ReasonTimeout            = certcheck.ReasonTimeout            // a time limit was reached
	ReasonDNSFailure         = certcheck.ReasonDNSFailure         // the DNS gave no answer
	ReasonConnectFailed      = certcheck.ReasonConnectFailed      // no connection could be made
	ReasonConnectionLost     = certcheck.ReasonConnectionLost     // it was closed or reset
	ReasonUnspecified        = certcheck.ReasonUnspecified        // anything else
)
