package tlsrpt_test

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

// The way to a https: destination over real sockets.
func TestPost(t *testing.T) {
	var got []byte
	redirected := false
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ok", func(w http.ResponseWriter, req *http.Request) {
		got, _ = io.ReadAll(req.Body)
		if media := req.Header.Get("Content-Type"); media != "application/tlsrpt+gzip" {
			t.Errorf("media type %q", media)
		}
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "/target", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/target", func(http.ResponseWriter, *http.Request) { redirected = true })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for _, err := w.Write([]byte("x")); err == nil; _, err = w.Write(make([]byte, 1<<16)) {
		}
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 1<<20))
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, req *http.Request) {
		io.ReadAll(req.Body) // or the server does not see that the client has gone
		<-req.Context().Done()
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	dns := &resolver.Fake{Names: map[string]resolver.Records{
		"example.com":     {Addr: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, // httptest's certificate names it
		"www.example.com": {Addr: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
		"other.example":   {Addr: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
	}}
	opts := options()
	opts.Resolver, opts.RootCAs, opts.AllowNets = dns, roots, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	allowed := open(t, &cache.Memory{}, opts)
	opts.AllowNets = nil
	guarded := open(t, &cache.Memory{}, opts)
	opts.AllowNets, opts.RootCAs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil
	rootless := open(t, &cache.Memory{}, opts)

	for name, test := range map[string]struct {
		c    *tlsrpt.Collector
		url  string
		want string // "" success
		hard bool
	}{
		"taken":                    {allowed, "https://example.com" + port + "/ok", "", false},
		"by address":               {allowed, server.URL + "/ok", "", false},
		"refused for good":         {allowed, "https://example.com" + port + "/gone", "410", true},
		"a redirect":               {allowed, "https://example.com" + port + "/elsewhere", "307", false},
		"an endless answer":        {allowed, "https://example.com" + port + "/endless", "", false},
		"an endless header":        {allowed, "https://example.com" + port + "/header", "header", false},
		"silence":                  {allowed, "https://example.com" + port + "/silent", "deadline", false},
		"another's certificate":    {allowed, "https://other.example" + port + "/ok", "certificate", false},
		"an untrusted certificate": {rootless, "https://example.com" + port + "/ok", "certificate", false},
		"a private address":        {guarded, "https://example.com" + port + "/ok", "AllowNets", false},
		"a private address itself": {guarded, server.URL + "/ok", "loopback", false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			got = nil
			err := test.c.Post(ctx, test.url, []byte("body"))
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error is %v, want one about %q", err, test.want)
			case strings.HasSuffix(test.url, "/ok") && (string(got) == "body") != (test.want == ""):
				t.Errorf("the receiver got %q", got)
			case tlsrpt.IsRefusal(err) != test.hard:
				t.Errorf("a refusal for good: %v", !test.hard)
			}
		})
	}
	if redirected {
		t.Error("a redirect was followed")
	}
}
