package diagnose_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/resolver"
)

// manyNames are a certificate's, which has name as the last of n.
func manyNames(n int, name string) (names []string) {
	label := strings.Repeat("a", 60)
	for i := range n - 1 {
		names = append(names, fmt.Sprintf("%d.%s.%s.%s.example", i, label, label, label))
	}
	return append(names, name)
}

// A program keeps reports of whatever domains others ask about.
func TestTheSizeOfAReportIsBounded(t *testing.T) {
	ca := testpki.Must(testpki.New())
	long := pkix.Name{CommonName: strings.Repeat("\u00e9", 1000)}
	issue := func(name string) tls.Certificate {
		cert := testpki.Must(ca.Sign(x509.Certificate{Subject: long, DNSNames: manyNames(200, name)}))
		leaf := cert.Certificate[0]
		for range 5 {
			cert.Certificate = append(cert.Certificate, leaf)
		}
		return cert
	}
	s := newSite(t, ca.Pool(), issue)
	certificate := issue("another.example") // which is not valid for any MX host
	s.opts.Dial = func(context.Context, string, string) (net.Conn, error) { return dialMX(t, certificate), nil }

	var mx []net.MX
	for i := range 60 {
		mx = append(mx, net.MX{Host: fmt.Sprintf("mx%d.%sexample", i, strings.Repeat(strings.Repeat("b", 60)+".", 3))})
	}
	s.dns.Set(domain, resolver.Records{MX: mx})
	txts := []string{"v=STSv1; id=1"}
	for range 100 {
		txts = append(txts, "\"v=STSv1\\; id="+strings.Repeat("\xff", 2000))
	}
	s.dns.Set("_mta-sts."+domain, resolver.Records{TXT: txts})
	s.dns.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; rua=" + strings.Repeat("mailto:a@b,", 5000)}})

	// Of the lines of a policy some are long, some are wrong, and no host matches.
	file := "version: STSv1\nmode: enforce\nmax_age: 604800\n"
	for i := range 40 {
		file += fmt.Sprintf("mx: %d.%s\nmx: \xff%s\n\x01: %s\n", i, strings.Repeat("c.", 120), strings.Repeat("\x02", 500), strings.Repeat("\x03", 500))
	}
	s.opts.Transport = otherAnswer{s.transport(&tls.Config{RootCAs: ca.Pool()}), http.StatusOK, file}

	r := diagnose.Diagnose(t.Context(), domain, s.opts)
	checkReport(t, r) // a MiB at most
	if len(r.MX) != 20 || r.MX[0].Probe.TLS == nil {
		t.Fatalf("%d MX hosts, the first %+v", len(r.MX), r.MX[0].Probe)
	}
	if r.File == nil || len(r.File.Lines) < 100 {
		t.Fatalf("%+v %s", r.Answer, r.PolicyHost.Error)
	}
}

// An otherAnswer is a policy host that answers with something else.
type otherAnswer struct {
	http.RoundTripper
	status int
	body   string
}

func (o otherAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	req.Header.Del("User-Agent") // the site expects no browser
	resp, err := o.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
		resp.StatusCode, resp.Body, resp.ContentLength = o.status, io.NopCloser(strings.NewReader(o.body)), int64(len(o.body))
	}
	return resp, err
}

// A certificate that many domains share shows that the domain takes part, wherever its name
// stands in it.
func TestACertificateWithManyNames(t *testing.T) {
	ca := testpki.Must(testpki.New())
	s := newSite(t, ca.Pool(), func(name string) tls.Certificate {
		return testpki.Must(ca.Issue(manyNames(100, name)...))
	})
	s.dns.Set("_mta-sts."+domain, resolver.Records{})
	s.opts.Transport, s.opts.Probe = otherAnswer{s.transport(&tls.Config{RootCAs: ca.Pool()}), http.StatusNotFound, "gone"}, false
	r := diagnose.Diagnose(t.Context(), domain, s.opts)
	if leaf := r.PolicyHost.TLS.Chain[0]; len(leaf.Names)+leaf.NamesMore != 100 {
		t.Errorf("%d names and %d more", len(leaf.Names), leaf.NamesMore)
	}
	if got := codes(r); !slices.Contains(got, "answer-not-found") {
		t.Errorf("got %q", got)
	}
}
