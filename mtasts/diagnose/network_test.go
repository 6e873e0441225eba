package diagnose_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// A site is example.com with a policy host on a socket, reached by the package's own way,
// and an MX host, both with certificates of the test.
type site struct {
	dns  *resolver.Fake
	opts *diagnose.Options
	addr string // of the policy host
}

// transport is one of the caller's, to the policy host.
func (s *site) transport(cfg *tls.Config) http.RoundTripper {
	return &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.addr)
		}}
}

func newSite(t *testing.T, roots *x509.CertPool, cert func(name string) tls.Certificate) *site {
	loopback := netip.MustParseAddr("127.0.0.1")
	dns := &resolver.Fake{Names: map[string]resolver.Records{
		"example.com":            {MX: []net.MX{{Host: mxHost}}},
		mxHost:                   {Addr: []netip.Addr{loopback}},
		"mta-sts.example.com":    {Addr: []netip.Addr{loopback}},
		"_mta-sts.example.com":   {TXT: []string{"v=STSv1; id=1"}},
		"_smtp._tls.example.com": {TXT: []string{"v=TLSRPTv1; rua=mailto:a@example.com"}},
	}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		if strings.HasPrefix(r.UserAgent(), "Mozilla") {
			t.Error("a browser asks for what was not refused")
		}
		io.WriteString(w, mtaststest.Policy(mtasts.ModeEnforce, month, mxHost))
	}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, Certificates: []tls.Certificate{cert("mta-sts.example.com")}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate := cert(mxHost)
	opts := diagnose.Options{Resolver: dns, RootCAs: roots, AllowNets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Probe: true,
		Dial: func(context.Context, string, string) (net.Conn, error) { return dialMX(t, certificate), nil }}
	return &site{dns, opts.WithPort(uint16(server.Listener.Addr().(*net.TCPAddr).Port)), server.Listener.Addr().String()}
}

// dialMX connects to an MX host that knows EHLO, STARTTLS and QUIT.
func dialMX(t *testing.T, cert tls.Certificate) net.Conn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer conn.Close()
		fmt.Fprint(conn, "220 mx\r\n")
		for in := bufio.NewReader(conn); ; {
			line, err := in.ReadString('\n')
			switch {
			case err != nil || line == "QUIT\r\n":
				return
			case line == "STARTTLS\r\n":
				fmt.Fprint(conn, "220 go\r\n")
				conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
				in = bufio.NewReader(conn)
			default:
				fmt.Fprint(conn, "250-mx\r\n250 StartTLS\r\n")
			}
		}
	}()
	return client
}

func (s *site) diagnose(t *testing.T, want ...diagnose.Code) *diagnose.Report {
	t.Helper()
	r := diagnose.Diagnose(t.Context(), domain, s.opts)
	checkReport(t, r)
	if got := codes(r); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
		for _, f := range r.Findings {
			t.Logf("%s: %s", f.Code, f.Text)
		}
	}
	return r
}

func TestNetwork(t *testing.T) {
	ca := testpki.Must(testpki.New())
	issue := func(name string) tls.Certificate { return testpki.Must(ca.Issue(name)) }
	t.Run("good", func(t *testing.T) {
		r := newSite(t, ca.Pool(), issue).diagnose(t)
		h := r.PolicyHost
		if !strings.HasPrefix(h.Address, "127.0.0.1:") || len(h.Addresses) != 1 || h.Addresses[0].Refused != "" {
			t.Errorf("%+v", h)
		}
		for _, session := range []*diagnose.TLS{h.TLS, r.MX[0].Probe.TLS} {
			if session.Version != "TLS 1.3" || session.Group == "" || !session.Valid || session.Root == nil ||
				!strings.Contains(session.Root.Subject, "test authority") || len(session.Chain) != 1 || len(session.Chain[0].Names) != 1 {
				t.Errorf("%+v", session)
			}
		}
		if a := r.Answer; a.Status != 200 || a.MediaType != "text/plain" || a.LineEnds != "CRLF" || !a.Whole || a.Octets < 50 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("the guard refuses", func(t *testing.T) {
		s := newSite(t, ca.Pool(), issue)
		s.opts.AllowNets, s.opts.Dial = nil, nil
		r := s.diagnose(t, "host-not-public", "mx-not-public")
		if r.Answer != nil || r.MX[0].Probe.Address != "" || r.PolicyHost.Addresses[0].Refused == "" {
			t.Errorf("%+v", r.PolicyHost)
		}
	})
	t.Run("the DNS fails for the policy host", func(t *testing.T) {
		s := newSite(t, ca.Pool(), issue)
		s.dns.Set("mta-sts.example.com", resolver.Records{Fail: resolver.ServFail})
		s.diagnose(t, "host-dns-failure")
	})
	t.Run("the policy host has no address", func(t *testing.T) {
		s := newSite(t, ca.Pool(), issue)
		s.dns.Set("mta-sts.example.com", resolver.Records{})
		s.diagnose(t, "host-missing")
	})
	t.Run("all MX hosts are one machine", func(t *testing.T) {
		s := newSite(t, ca.Pool(), issue)
		s.dns.Set(domain, resolver.Records{MX: []net.MX{{Host: "mx1.example.com"}, {Host: "mx2.example.com"}}})
		r := s.diagnose(t, "mail-held", "mx-certificate-name", "mx-not-listed", "pattern-unused")
		if f := find(t, r, "mail-held"); !strings.HasSuffix(f.Text, "All of them are one machine, at 127.0.0.1.") {
			t.Error(f.Text)
		}
	})
	t.Run("a transport with roots of its own", func(t *testing.T) {
		s := newSite(t, nil, issue)
		s.opts.Transport, s.opts.Probe = s.transport(&tls.Config{RootCAs: ca.Pool()}), false
		if h := s.diagnose(t).PolicyHost; h.TLS == nil || !h.TLS.Valid || h.TLS.Root == nil || h.Addresses != nil {
			t.Errorf("%+v", h)
		}
	})
	t.Run("a policy host that knows only TLS 1.1", func(t *testing.T) {
		s := newSite(t, ca.Pool(), issue)
		s.opts.Transport = s.transport(&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		s.diagnose(t, "host-tls-failed")
	})
	t.Run("nobody listens", func(t *testing.T) {
		s := newSite(t, ca.Pool(), issue)
		s.opts = s.opts.WithPort(1)
		s.diagnose(t, "host-unreachable")
	})
}

func TestCertificates(t *testing.T) {
	ca := testpki.Must(testpki.New())
	t.Run("it ends soon", func(t *testing.T) {
		newSite(t, ca.Pool(), func(name string) tls.Certificate {
			return testpki.Must(ca.Sign(x509.Certificate{DNSNames: []string{name}, NotAfter: time.Now().Add(50 * time.Hour)}))
		}).diagnose(t, "host-certificate-expires-soon", "mx-certificate-expires-soon")
	})
	dropped := testpki.Must(ca.Intermediate(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "DigiCert Global Root CA"} }))
	issue := func(name string) tls.Certificate { return testpki.Must(dropped.Issue(name)) }
	t.Run("we trust a root that others have dropped", func(t *testing.T) {
		r := newSite(t, dropped.Pool(), issue).diagnose(t, "root-dropped")
		if !strings.Contains(r.Findings[0].Text, "is of November 2026") {
			t.Error(r.Findings[0].Text)
		}
		if r.Verdict.Delivery != diagnose.Deliver || len(r.Findings) != 2 || r.Findings[1].Step != diagnose.StepProbe {
			t.Errorf("%+v", r.Verdict)
		}
	})
	t.Run("we have dropped it too", func(t *testing.T) {
		s := newSite(t, ca.Pool(), issue)
		alone := issue(mxHost)
		alone.Certificate = alone.Certificate[:1]
		s.opts.Dial = func(context.Context, string, string) (net.Conn, error) { return dialMX(t, alone), nil }
		r := s.diagnose(t, "mail-held", "mx-certificate-untrusted", "root-dropped")
		f := find(t, r, "mx-certificate-untrusted")
		if !slices.Equal(f.DependsOn, []diagnose.Code{"root-dropped"}) {
			t.Errorf("it depends on %v", f.DependsOn)
		}
	})
	t.Run("this machine has no roots", func(t *testing.T) {
		newSite(t, x509.NewCertPool(), issue).diagnose(t, "no-authorities")
	})
}
