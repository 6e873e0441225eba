//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"strings"
	"testing"
	"time"
)

// The tests named TestHarness use the standard library only. They show that the servers behave
// as described, so that a failure of another test is one of the sender.

// get fetches a URL by HTTPS. The fields of header are pairs of name and value.
func (w *world) get(t *testing.T, url string, config *tls.Config, header ...string) (*http.Response, string) {
	t.Helper()
	if config == nil {
		config = &tls.Config{}
	}
	config.RootCAs = w.ca.Pool()
	transport := &http.Transport{
		DialContext:       (&net.Dialer{Resolver: w.dns.resolver()}).DialContext,
		TLSClientConfig:   config,
		ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func (w *world) policyOf(t *testing.T, domain string) (*http.Response, string) {
	t.Helper()
	return w.get(t, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", nil)
}

func (w *world) record(t *testing.T, name string) string {
	t.Helper()
	txts, err := w.dns.resolver().LookupTXT(t.Context(), name+".")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(txts, " | ")
}

// dial opens an SMTP session to an MX host and says EHLO.
func (w *world) dial(t *testing.T, host string) *smtp.Client {
	t.Helper()
	dialer := net.Dialer{Resolver: w.dns.resolver(), Timeout: patience}
	conn, err := dialer.Dial("tcp", host+".:25")
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Hello("sender.example"); err != nil {
		t.Fatal(err)
	}
	return c
}

// startTLS completes the handshake, which net/smtp leaves to the next command.
func (w *world) startTLS(c *smtp.Client, host string, config *tls.Config) error {
	config.ServerName, config.RootCAs = host, w.ca.Pool()
	if err := c.StartTLS(config); err != nil {
		return err
	}
	return c.Noop()
}

// submit delivers a message in a session.
func submit(c *smtp.Client, to string) error {
	if err := c.Mail("sender@sender.example"); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	body, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(body, "Subject: hello\r\n\r\nhello\r\n")
	if err := body.Close(); err != nil {
		return err
	}
	return c.Quit()
}
