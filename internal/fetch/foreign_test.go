package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/testpki"
)

// foreign returns a transport that connects to server for any host, like one through a
// proxy, and verifies by config.
func foreign(server *http.Server, config *tls.Config) *http.Transport {
	own := newClient(addrOf(server))
	return &http.Transport{DialContext: own.dialer.connect, TLSClientConfig: config, DisableKeepAlives: true}
}

func TestConfigTransportMakesTheRequest(t *testing.T) {
	t.Run("httptest", func(t *testing.T) {
		server := httptest.NewUnstartedServer(http.HandlerFunc(publish))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		client := New(Config{Transport: server.Client().Transport})
		body, err := client.Get(t.Context(), host) // its certificate has *.example.com
		wantPolicy(t, body, err)
		body, err = client.Get(t.Context(), "mta-sts.a.example.com")
		if err == nil {
			t.Errorf("got %q for another name", body)
		}
	})
	server := serve(t, nil, publish)
	t.Run("roots of the transport", func(t *testing.T) {
		client := New(Config{Transport: foreign(server, &tls.Config{RootCAs: authority().Pool()})})
		body, err := client.Get(t.Context(), host)
		wantPolicy(t, body, err)
	})
	t.Run("roots of the Config", func(t *testing.T) {
		client := New(Config{
			Transport: foreign(server, &tls.Config{InsecureSkipVerify: true}),
			RootCAs:   authority().Pool(),
		})
		body, err := client.Get(t.Context(), host)
		wantPolicy(t, body, err)
	})
}

func TestRFC8461_3_3_TheCertificateIsVerifiedForAnyTransport(t *testing.T) {
	ca := authority()
	for name, cert := range map[string]tls.Certificate{
		"another name":     testpki.Must(ca.Issue("mta-sts.example.net")),
		"common name only": testpki.Must(ca.IssueCommonNameOnly(host)),
		"expired":          testpki.Must(ca.IssueExpired(host)),
		"not yet valid":    testpki.Must(ca.IssueNotYetValid(host)),
		"self-signed":      testpki.Must(testpki.SelfSigned(host)),
		"unknown root":     testpki.Must(testpki.Must(testpki.New()).Issue(host)),
		"misconstrained":   testpki.Must(ca.IssueMisconstrained(host)),
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, &tls.Config{Certificates: []tls.Certificate{cert}}, publish)
			client := New(Config{
				Transport: foreign(server, &tls.Config{InsecureSkipVerify: true}),
				RootCAs:   ca.Pool(),
			})
			body, err := client.Get(t.Context(), host)
			wantError(t, body, err, KindCertificate, "failed to verify certificate")
		})
	}
	t.Run("no roots but the system's", func(t *testing.T) {
		client := New(Config{Transport: foreign(serve(t, nil, publish), &tls.Config{InsecureSkipVerify: true})})
		body, err := client.Get(t.Context(), host)
		wantError(t, body, err, KindCertificate, "failed to verify certificate")
	})
	t.Run("other roots than the Config's", func(t *testing.T) {
		client := New(Config{
			Transport: foreign(serve(t, nil, publish), &tls.Config{RootCAs: ca.Pool()}),
			RootCAs:   testpki.Must(testpki.New()).Pool(),
		})
		body, err := client.Get(t.Context(), host)
		wantError(t, body, err, KindCertificate, "unknown authority")
	})
	t.Run("verified for another name", func(t *testing.T) {
		cert := testpki.Must(ca.Issue("proxy.example"))
		server := serve(t, &tls.Config{Certificates: []tls.Certificate{cert}}, publish)
		client := New(Config{Transport: foreign(server, &tls.Config{
			ServerName: "proxy.example",
			RootCAs:    ca.Pool(),
		})})
		body, err := client.Get(t.Context(), host)
		wantError(t, body, err, KindCertificate, "valid for proxy.example, not "+host)
	})
	t.Run("its own verdict", func(t *testing.T) {
		client := New(Config{Transport: foreign(serve(t, nil, publish), &tls.Config{RootCAs: x509.NewCertPool()})})
		body, err := client.Get(t.Context(), host)
		wantError(t, body, err, KindCertificate, "unknown authority")
	})
}

func TestRFC8461_7_2_AnyTransportNeedsTLS12(t *testing.T) {
	server := serve(t, &tls.Config{
		Certificates: []tls.Certificate{goodCert()},
		MinVersion:   tls.VersionTLS11,
		MaxVersion:   tls.VersionTLS11,
	}, publish)
	config := &tls.Config{RootCAs: authority().Pool(), MinVersion: tls.VersionTLS11}
	body, err := New(Config{Transport: foreign(server, config)}).Get(t.Context(), host)
	wantError(t, body, err, KindTransport, "TLS 1.1")
}

// roundTrip makes a function an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTheRulesForAnswersApplyToAnyTransport(t *testing.T) {
	session := &tls.ConnectionState{
		Version:          tls.VersionTLS13,
		PeerCertificates: []*x509.Certificate{goodCert().Leaf},
	}
	open := 0
	answer := func(status int, contentType, text string) *http.Response {
		open++
		return &http.Response{
			StatusCode: status,
			Header:     http.Header{"Content-Type": {contentType}},
			Body:       body{strings.NewReader(text), &open},
			TLS:        session,
		}
	}
	plain := answer(200, "text/plain", policy)
	plain.TLS = nil
	bare := answer(200, "text/plain", "")
	bare.Body.Close()
	bare.Body = nil
	for name, test := range map[string]struct {
		answer *http.Response
		kind   Kind // 0: the answer is good
		text   string
	}{
		"good":           {answer(200, "text/plain", policy), 0, policy},
		"no body":        {bare, 0, ""},
		"status":         {answer(301, "text/plain", policy), KindAnswer, "the status is 301"},
		"media type":     {answer(200, "text/html", policy), KindAnswer, "the media type is"},
		"length":         {answer(200, "text/plain", strings.Repeat("#", 65537)), KindAnswer, "longer than"},
		"not over TLS":   {plain, KindCertificate, "without a certificate"},
		"nothing at all": {nil, KindTransport, "neither an answer nor an error"},
	} {
		t.Run(name, func(t *testing.T) {
			client := New(Config{
				Transport: roundTrip(func(*http.Request) (*http.Response, error) { return test.answer, nil }),
				RootCAs:   authority().Pool(),
			})
			body, err := client.Get(t.Context(), host)
			if test.kind != 0 {
				wantError(t, body, err, test.kind, test.text)
			} else if err != nil || body != test.text {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
	if open != 0 {
		t.Errorf("%d bodies were not closed", open)
	}
}

// A body decrements open when it is closed.
type body struct {
	io.Reader
	open *int
}

func (b body) Close() error { *b.open--; return nil }

func TestABodyWithoutALengthIsRefusedFromAnyTransport(t *testing.T) {
	server := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"+policy)
	})
	client := New(Config{Transport: foreign(server, &tls.Config{RootCAs: authority().Pool()})})
	if body, err := client.Get(t.Context(), host); err == nil {
		t.Errorf("got %q; it could be a truncated policy", body)
	}
}

func TestRFC8461_3_3_ATransportMustNotFollowRedirects(t *testing.T) {
	server := serve(t, nil, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/.well-known/mta-sts.txt" {
			http.Redirect(w, req, "/elsewhere", http.StatusFound)
			return
		}
		publish(w, req)
	})
	client := New(Config{Transport: follower{foreign(server, &tls.Config{RootCAs: authority().Pool()})}})
	if body, err := client.Get(t.Context(), host); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("got %q, %v", body, err)
	}
}

// A follower is a transport that follows redirects, in violation of http.RoundTripper.
type follower struct{ http.RoundTripper }

func (f follower) RoundTrip(req *http.Request) (*http.Response, error) {
	return (&http.Client{Transport: f.RoundTripper}).Get(req.URL.String())
}
