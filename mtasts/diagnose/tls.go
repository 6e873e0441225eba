package diagnose

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/certcheck"
)

// expiresSoon is how long before its end a certificate is worth a warning: those of 90
// days are renewed 30 days before, those of 47 about a dozen.
const expiresSoon = 7 * 24 * time.Hour

// describeTLS describes a session with a host by its name. Of a chain that is trusted it
// finds the root.
func describeTLS(cs *tls.ConnectionState, name string, roots *x509.CertPool, now time.Time) *TLS {
	t := &TLS{Version: tls.VersionName(cs.Version), SNI: clean(name), Chain: []Certificate{}}
	if cs.CipherSuite != 0 { // a transport of the caller's may not say
		t.CipherSuite = tls.CipherSuiteName(cs.CipherSuite)
	}
	if cs.CurveID != 0 {
		t.Group = cs.CurveID.String()
	}
	most := maxNames
	for _, cert := range cs.PeerCertificates[:min(len(cs.PeerCertificates), maxChain)] {
		t.Chain = append(t.Chain, describeCertificate(cert, most))
		most = maxOthers
	}
	if roots == nil && len(cs.VerifiedChains) > 0 { // by a transport with roots of its own
		roots = x509.NewCertPool()
		for _, chain := range cs.VerifiedChains {
			roots.AddCert(chain[len(chain)-1])
		}
	}
	chains, err := certcheck.Chains(cs.PeerCertificates, name, roots, now)
	if t.Valid = err == nil; t.Valid {
		root := describeCertificate(chains[0][len(chains[0])-1], maxOthers)
		t.Root = &root
	} else {
		t.Error = strings.TrimPrefix(errorText(err), "tls: failed to verify certificate: ")
		t.Result, t.Reason = certcheck.ClassifyWith(err, roots)
	}
	return t
}

// describeCertificate describes a certificate with at most most of its names.
func describeCertificate(cert *x509.Certificate, most int) Certificate {
	sum := sha256.Sum256(cert.Raw)
	return Certificate{
		Subject:   clean(cert.Subject.String()),
		Issuer:    clean(cert.Issuer.String()),
		Names:     cleanAll(append([]string{}, cert.DNSNames...), most),
		NamesMore: max(0, len(cert.DNSNames)-most),
		NotBefore: cert.NotBefore.UTC(),
		NotAfter:  cert.NotAfter.UTC(),
		Key:       key(cert.PublicKey),
		Signature: cert.SignatureAlgorithm.String(),
		SHA256:    hex.EncodeToString(sum[:]),
	}
}

func key(public any) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

// judgeCertificate is for a session with host, which is a policy host or an MX host as kind
// says.
func (d *diagnosis) judgeCertificate(t *TLS, kind Code, host string) {
	names, until := "no DNS name", time.Time{}
	if len(t.Chain) > 0 {
		until = t.Chain[0].NotAfter
		if len(t.Chain[0].Names) > 0 {
			names = andMore(t.Chain[0].Names, t.Chain[0].NamesMore)
		}
	}
	a := args{"mx": host, "name": host, "error": t.Error, "reason": cmp.Or(t.Reason, t.Result), "names": names,
		"until": stamp(until), "left": plural(int64(until.Sub(d.r.Time)/(24*time.Hour)), "day")}
	code := kind + "-certificate-untrusted"
	switch {
	case t.Valid && until.Sub(d.r.Time) < expiresSoon:
		code = kind + "-certificate-expires-soon"
	case t.Valid:
		code = ""
	case t.Reason == certcheck.ReasonNoAuthorities:
		code = ""
		if !d.has("no-authorities") {
			d.add("no-authorities", "", nil)
		}
	case t.Result == "certificate-host-mismatch":
		code = kind + "-certificate-name"
	case t.Result == "certificate-expired":
		code = kind + "-certificate-expired"
	}
	if code != "" {
		f := d.add(code, host, a)
		for i, cert := range t.Chain {
			f.show(fmt.Sprintf("certificate %d", i+1), fmt.Sprintf("%s, issued by %s, valid from %s to %s", cmp.Or(cert.Subject, and(cert.Names)),
				cert.Issuer, cert.NotBefore.Format(time.DateOnly), cert.NotAfter.Format(time.DateOnly)), 0)
		}
	}
	if root, who := droppedRoot(t); root != "" {
		f := d.add("root-dropped", host, args{"name": host, "root": root, "who": who, "date": droppedAsOf})
		f.Step = catalogue[kind+"-certificate-name"].step
	}
}
