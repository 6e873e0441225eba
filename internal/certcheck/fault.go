package certcheck

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strconv"
	"strings"
	"time"
)

// certificateFault classifies an error about a certificate by its type. cert is the
// certificate at fault, or nil if that is not known. The result is "" for any other
// error.
func certificateFault(err error) (result, reason string, cert *x509.Certificate) {
	var (
		hostname   x509.HostnameError
		invalid    x509.CertificateInvalidError
		unknown    x509.UnknownAuthorityError
		constraint x509.ConstraintViolationError
		critical   x509.UnhandledCriticalExtension
		insecure   x509.InsecureAlgorithmError
		noRoots    x509.SystemRootsError
	)
	var chain []*x509.Certificate
	wrapper, verification := errors.AsType[*tls.CertificateVerificationError](err)
	if verification {
		chain = wrapper.UnverifiedCertificates
	}
	switch {
	case errors.Is(err, errNotDNSName):
		return hostMismatch, ReasonNotADNSName, nil
	case errors.Is(err, errNoCertificate):
		return notTrusted, ReasonNoCertificate, nil
	case errors.As(err, &hostname):
		if hostname.Certificate != nil && len(hostname.Certificate.DNSNames) == 0 {
			return hostMismatch, ReasonNoDNSID, hostname.Certificate
		}
		return hostMismatch, "", hostname.Certificate
	case errors.As(err, &invalid):
		result, reason = invalidFault(invalid, chain)
		return result, reason, invalid.Cert
	case errors.As(err, &unknown):
		reason, cert = unknownFault(unknown, chain)
		return notTrusted, reason, cert
	case errors.As(err, &constraint):
		return notTrusted, ReasonIssuerNotACA, nil
	case errors.As(err, &critical):
		return notTrusted, ReasonUnhandledCriticalExtension, nil
	case errors.As(err, &insecure):
		return notTrusted, ReasonInsecureSignature, nil
	case errors.As(err, &noRoots):
		// This machine is at fault, not the certificate.
		return failure, ReasonNoAuthorities, nil
	case verification:
		return notTrusted, ReasonInvalidChain, nil
	}
	return "", "", nil
}

func invalidFault(invalid x509.CertificateInvalidError, chain []*x509.Certificate) (result, reason string) {
	switch invalid.Reason {
	case x509.Expired:
		issuer := invalid.Cert != nil && len(chain) > 0 && !isLeaf(invalid.Cert, chain)
		switch early := notYetValid(invalid); {
		case early && issuer:
			return notTrusted, ReasonIssuerNotYetValid
		case early:
			return notTrusted, ReasonCertificateNotYetValid
		case issuer:
			return expired, ReasonIssuerExpired
		}
		return expired, ""
	case x509.NotAuthorizedToSign:
		return notTrusted, ReasonIssuerNotACA
	case x509.NameMismatch:
		return notTrusted, ReasonIssuerNameMismatch
	case x509.CANotAuthorizedForThisName, x509.UnconstrainedName, x509.TooManyConstraints,
		x509.NameConstraintsWithoutSANs:
		return notTrusted, ReasonIssuerConstraint
	case x509.TooManyIntermediates:
		return notTrusted, ReasonChainTooLong
	case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
		return notTrusted, ReasonWrongKeyUsage
	case x509.NoValidChains:
		return notTrusted, ReasonNoValidChain
	}
	return notTrusted, ReasonInvalidChain
}

// notYetValid reports whether a certificate that is invalid for the reason Expired has
// yet to become valid. crypto/x509 has one reason for both ends. Its verifier says in
// Detail which it is, by the clock of the client. The verifiers of other systems do not.
func notYetValid(invalid x509.CertificateInvalidError) bool {
	if strings.Contains(invalid.Detail, " is before ") {
		return true
	}
	return !strings.Contains(invalid.Detail, " is after ") &&
		invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore)
}

// unknownFault says why no issuer was found for the certificate at which the chain
// ends. crypto/x509 only says in the text of its error which issuers it rejected, and
// why.
func unknownFault(unknown x509.UnknownAuthorityError, chain []*x509.Certificate) (reason string, culprit *x509.Certificate) {
	cert := unknown.Cert
	if cert == nil {
		return ReasonUnknownAuthority, nil
	}
	if bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		// Nobody verifies the signature of a root that the server sent.
		if len(chain) == 0 || isLeaf(cert, chain) {
			return ReasonSelfSigned, cert
		}
		return ReasonUnknownAuthority, cert
	}
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return ReasonInsecureSignature, cert
	case x509.UnknownSignatureAlgorithm, x509.DSAWithSHA256:
		return ReasonUnsupportedSignature, cert
	}
	for _, issuer := range chain {
		if bytes.Equal(issuer.RawSubject, cert.RawIssuer) {
			return issuerFault(cert, issuer)
		}
	}
	// The rejected issuer can only be one of the roots, which are not available here.
	const hint = "x509: certificate signed by unknown authority (possibly because of "
	if strings.HasPrefix(unknown.Error(), hint+strconv.Quote(x509.ConstraintViolationError{}.Error())) {
		return ReasonIssuerNotACA, nil
	}
	return ReasonUnknownAuthority, cert
}

// issuerFault says why cert does not chain to issuer, which has the name that cert
// gives for its issuer. Only one issuer is tried: an untrusted server could send many,
// and each costs the verification of a signature.
func issuerFault(cert, issuer *x509.Certificate) (reason string, culprit *x509.Certificate) {
	err := cert.CheckSignatureFrom(issuer)
	var constraint x509.ConstraintViolationError
	switch {
	case err == nil: // the two sign each other, and no root signs either
		return ReasonUnknownAuthority, cert
	case errors.As(err, &constraint):
		return ReasonIssuerNotACA, issuer
	case errors.Is(err, x509.ErrUnsupportedAlgorithm): // of the key; unknownFault has checked the signature's
		return ReasonUnsupportedKey, issuer
	case smallKey(err.Error()):
		return ReasonKeyTooSmall, issuer
	}
	return ReasonInvalidSignature, cert
}

func isLeaf(cert *x509.Certificate, chain []*x509.Certificate) bool {
	return cert.Equal(chain[0])
}

// IssuerAtFault returns the name of the intermediate or root that err is about, as with
// ReasonIssuerExpired. The name is a quoted string of printable ASCII and of bounded
// length, for the text of an error. It is "" if the fault is not known to be an issuer's.
func IssuerAtFault(err error) string {
	wrapper, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(wrapper.UnverifiedCertificates) == 0 {
		return ""
	}
	_, _, cert := certificateFault(err)
	if cert == nil || isLeaf(cert, wrapper.UnverifiedCertificates) {
		return ""
	}
	name := cert.Subject.CommonName
	if name == "" && len(cert.Subject.Organization) > 0 {
		name = cert.Subject.Organization[0]
	}
	if name == "" && cert.SerialNumber != nil {
		name = "serial number " + cert.SerialNumber.Text(16)
	}
	const limit = 80
	if len(name) > limit {
		name = name[:limit] + "..."
	}
	return strconv.QuoteToASCII(name)
}
