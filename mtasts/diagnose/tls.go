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
	t := &TLS{Version: tls.VersionName(cs.Version), CipherSuite: tls.CipherSuiteName(cs.CipherSuite),
		SNI: clean(name), Chain: []Certificate{}}
	if cs.CurveID != 0 {
		t.Group = cs.CurveID.String()
	}
	for _, cert := range cs.PeerCertificates[:min(len(cs.PeerCertificates), maxChain)] {
		t.Chain = append(t.Chain, describeCertificate(cert))
	}
	if roots == nil && len(cs.VerifiedChains) > 0 { // by a transport with roots of its own
		roots = x509.NewCertPool()
		for _, chain := range cs.VerifiedChains {
			roots.AddCert(chain[len(chain)-1])
		}
	}
	chains, err := certcheck.Chains(cs.PeerCertificates, name, roots, now)
	if t.Valid = err == nil; t.Valid {
		root := describeCertificate(chains[0][len(chains[0])-1])
		t.Root = &root
	} else {
		t.Error = strings.TrimPrefix(errorText(err), "tls: failed to verify certificate: ")
		t.Result, t.Reason = certcheck.ClassifyWith(err, roots)
	}
	return t
}

func describeCertificate(cert *x509.Certificate) Certificate {
	sum := sha256.Sum256(cert.Raw)
	return Certificate{
		Subject:   clean(cert.Subject.String()),
		Issuer:    clean(cert.Issuer.String()),
		Names:     cleanAll(append([]string{}, cert.DNSNames...), maxNames),
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

// certificateCodes are the codes for what may be wrong with the certificate of a host.
type certificateCodes struct{ name, expired, untrusted, soon Code }

// judgeCertificate is for a session with host.
func (d *diagnosis) judgeCertificate(t *TLS, codes certificateCodes, host string) {
	names, until := "no DNS name", time.Time{}
	if len(t.Chain) > 0 {
		names, until = cmp.Or(strings.Join(t.Chain[0].Names, ", "), names), t.Chain[0].NotAfter
	}
	a := args{"mx": host, "error": t.Error, "reason": cmp.Or(t.Reason, t.Result), "names": clean(names),
		"until": until.Format(time.DateTime) + " UTC", "left": plural(int64(until.Sub(d.r.Time)/(24*time.Hour)), "day")}
	var f *Finding
	switch {
	case t.Valid && until.Sub(d.r.Time) < expiresSoon:
		f = d.add(codes.soon, host, a)
	case t.Valid:
	case t.Reason == certcheck.ReasonNoAuthorities:
		if !d.has("no-authorities") {
			d.add("no-authorities", "", a)
		}
	case t.Result == "certificate-host-mismatch":
		f = d.add(codes.name, host, a)
	case t.Result == "certificate-expired":
		f = d.add(codes.expired, host, a)
	default:
		f = d.add(codes.untrusted, host, a)
	}
	if f != nil {
		for i, cert := range t.Chain {
			f.show(fmt.Sprintf("certificate %d", i+1), fmt.Sprintf("%s, issued by %s, valid from %s to %s", cmp.Or(cert.Subject, strings.Join(cert.Names, ", ")),
				cert.Issuer, cert.NotBefore.Format(time.DateOnly), cert.NotAfter.Format(time.DateOnly)), 0)
		}
	}
	if root, who := droppedRoot(t); root != "" {
		f := d.add("root-dropped", host, args{"name": host, "root": root, "who": who})
		f.Step = catalogue[codes.soon].step
	}
}
