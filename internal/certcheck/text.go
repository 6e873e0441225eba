package certcheck

import "strings"

// textFault classifies the faults of a server that crypto/tls reports by text alone.
// A test provokes each in a real handshake, and fails when Go changes a text. The
// result is "" for any other error.
func textFault(err error) (result, reason string) {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return textFault(cause)
		}
		return "", "" // the text of an OpError without Err panics
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			if result, reason = textFault(cause); result != "" {
				return result, reason
			}
		}
		return "", ""
	}

	const (
		parse     = "tls: failed to parse certificate from server: "
		signature = "tls: invalid signature by the server certificate: "
	)
	text := err.Error()
	if smallKey(strings.TrimPrefix(text, signature)) {
		return notTrusted, ReasonKeyTooSmall
	}
	for _, fault := range [...]struct{ prefix, result, reason string }{
		{parse + "x509: negative serial number", notTrusted, ReasonNegativeSerial},
		{parse + "x509: unsupported elliptic curve", notTrusted, ReasonUnsupportedKey},
		{parse, notTrusted, ReasonMalformedCertificate},
		{signature, notTrusted, ReasonInvalidHandshakeSignature},
		{"tls: certificate used with invalid signature algorithm", notTrusted, ReasonInvalidHandshakeSignature},
		{"tls: server sent certificate containing RSA key larger than ", notTrusted, ReasonKeyTooLarge},
		{"tls: server's certificate contains an unsupported type of public key: ", notTrusted, ReasonUnsupportedKey},
		{"tls: server certificate contains incorrect key type for selected ciphersuite", notTrusted, ReasonUnsupportedKey},
		{"tls: received empty certificates message", notTrusted, ReasonNoCertificate},
		{"tls: received unexpected handshake message of type *tls.certificateMsg when waiting for *tls.certificateMsg", notTrusted, ReasonNoCertificate},
		{"tls: server selected unsupported protocol version ", failure, ReasonUnsupportedVersion},
	} {
		if strings.HasPrefix(text, fault.prefix) {
			return fault.result, fault.reason
		}
	}
	return "", ""
}

// smallKey reports whether crypto/rsa rejected a key for its size.
func smallKey(text string) bool {
	return strings.HasPrefix(text, "crypto/rsa: ") && strings.Contains(text, "-bit keys are insecure")
}
