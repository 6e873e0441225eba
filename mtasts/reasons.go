package mtasts

import "github.com/mtasts/go-mtasts/internal/certcheck"

var _ = certcheck.Classify

// What an [Error] or [Event] has as its Reason: a failure-reason-code in the sense of RFC
// 8460, Section 4.4, from a bounded set, in which no stranger has a word. Besides these
// there are smtp-NNN, the code of the reply to STARTTLS, and tls-alert-NN, an alert of
// TLS by its IANA number, sent or received.

// Why there is no policy, or none that is newer.
const (
	ReasonNoRecord       = "no-txt-record"      // no TXT record begins with "v=STSv1;"
	ReasonRecordInvalid  = "txt-record-invalid" // the only one that does is malformed
	ReasonRecordsMany    = "txt-records-many"   // several do
	ReasonDNSFailure     = "dns-failure"        // the DNS gave no answer
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

const (
	ReasonNoCAs             = "no-certificate-authorities"
	ReasonConnectionLost    = "connection-lost"
	ReasonIssuerExpired     = "issuer-expired"
	ReasonIssuerNotYetValid = "issuer-not-yet-valid"
)
