package fetch

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"net/http"
	"net/netip"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

func TestObserve(t *testing.T) {
	observe := func(t *testing.T, cfg *tls.Config, trace *Trace, handler http.HandlerFunc) error {
		t.Helper()
		server := serve(t, cfg, handler)
		c := newClient(addrOf(server))
		_, err := c.Observe(t.Context(), host, trace)
		if len(trace.Addresses) != 1 || trace.Addresses[0] != public || trace.Address != server.Addr {
			t.Errorf("addresses %v, %s", trace.Addresses, trace.Address)
		}
		return err
	}
	t.Run("a policy", func(t *testing.T) {
		trace := new(Trace)
		err := observe(t, nil, trace, func(w http.ResponseWriter, r *http.Request) {
			if r.UserAgent() != "go-mtasts" {
				t.Errorf("user agent %q", r.UserAgent())
			}
			w.Header().Set("Content-Type", "text/plain")
			w.Write([]byte(policy))
		})
		if err != nil || string(trace.Body) != policy || !trace.Whole || trace.Response.StatusCode != 200 || !trace.TLS.HandshakeComplete {
			t.Errorf("%v, %+v", err, trace)
		}
	})
	t.Run("a page that is refused, in gzip", func(t *testing.T) {
		trace := &Trace{UserAgent: "Mozilla/5.0"}
		err := observe(t, nil, trace, func(w http.ResponseWriter, r *http.Request) {
			if r.UserAgent() != "Mozilla/5.0" {
				t.Errorf("user agent %q", r.UserAgent())
			}
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			z.Write([]byte("not found"))
			z.Close()
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(404)
			w.Write(b.Bytes())
		})
		if err == nil || string(trace.Body) != "not found" || !trace.Whole || trace.Response.StatusCode != 404 {
			t.Errorf("%v, %+v", err, trace)
		}
	})
	t.Run("a certificate that is refused", func(t *testing.T) {
		trace := new(Trace)
		cert := testpki.Must(authority().Issue("another.example"))
		err := observe(t, &tls.Config{Certificates: []tls.Certificate{cert}}, trace, nil)
		if err == nil || trace.TLS == nil || trace.TLS.HandshakeComplete || len(trace.TLS.PeerCertificates) != 1 || trace.Response != nil {
			t.Errorf("%v, %+v", err, trace.TLS)
		}
	})
}

func TestCheckAddr(t *testing.T) {
	addr := netip.MustParseAddr("192.168.0.1")
	if CheckAddr(addr, nil) == nil {
		t.Error("a private address is let pass")
	}
	if err := CheckAddr(addr, []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}); err != nil {
		t.Error(err)
	}
}
