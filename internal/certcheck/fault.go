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

// certificateFault classifies the errors that have a type. cert is the certificate
// at fault, or nil if that is not known. The result is "" for an error that is
// not about a certificate.
func certificateFault(err error) (result, reason string, cert *x509.Certificate) {
	var (
		wrapper    *tls.CertificateVerificationError
		hostname   x509.HostnameError
		invalid    x509.CertificateInvalidError
		unknown    x509.UnknownAuthorityError
		constraint x509.ConstraintViolationError
		critical   x509.UnhandledCriticalExtension
		insecure   x509.InsecureAlgorithmError
		noRoots    x509.SystemRootsError
	)
	var chain []*x509.Certificate
	verification := errors.As(err, &wrapper)
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
		// The fault is this machine's: nothing is wrong with the certificate.
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

// notYetValid reports whether invalid, of reason Expired, is about the beginning
// of the validity. Go has one reason for both ends. Its Detail holds the time at
// which the certificate was judged, which need not be the time now, and nothing
// of the certificate's but its own time. The verifiers of other systems leave it
// without either word.
func notYetValid(invalid x509.CertificateInvalidError) bool {
	if strings.Contains(invalid.Detail, " is before ") {
		return true
	}
	return !strings.Contains(invalid.Detail, " is after ") &&
		invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore)
}

// unknownFault says why no issuer was found for the certificate at which the
// chain broke off. crypto/x509 tells only in the error's text which issuers it
// did find, and why it took none of them.
func unknownFault(unknown x509.UnknownAuthorityError, chain []*x509.Certificate) (reason string, culprit *x509.Certificate) {
	cert := unknown.Cert
	if cert == nil {
		return ReasonUnknownAuthority, nil
	}
	if bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		// Nobody checks the signature of a root that came with the chain.
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
	// The issuer can only be one of the roots, which are not at hand.
	const hint = "x509: certificate signed by unknown authority (possibly because of "
	if strings.HasPrefix(unknown.Error(), hint+strconv.Quote(x509.ConstraintViolationError{}.Error())) {
		return ReasonIssuerNotACA, nil
	}
	return ReasonUnknownAuthority, cert
}

// issuerFault says why issuer, whose name cert gives for its issuer, is not. One
// is enough: a check of a signature is what a stranger can make us spend.
func issuerFault(cert, issuer *x509.Certificate) (reason string, culprit *x509.Certificate) {
	err := cert.CheckSignatureFrom(issuer)
	var constraint x509.ConstraintViolationError
	switch {
	case err == nil: // two that sign each other, and no root signs either
		return ReasonUnknownAuthority, cert
	case errors.As(err, &constraint):
		return ReasonIssuerNotACA, issuer
	case errors.Is(err, x509.ErrUnsupportedAlgorithm): // which that of the signature is not
		return ReasonUnsupportedKey, issuer
	case smallKey(err.Error()):
		return ReasonKeyTooSmall, issuer
	}
	return ReasonInvalidSignature, cert
}

func isLeaf(cert *x509.Certificate, chain []*x509.Certificate) bool {
	return cert.Equal(chain[0])
}

// IssuerAtFault names the certificate that err is about, where that is not the
// server's own but an intermediate or a root, as in "issuer-expired". It is a
// quoted string of printable ASCII, of at most some hundred bytes, for the text
// of an error; "" if there is no such certificate or it is not known.
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
