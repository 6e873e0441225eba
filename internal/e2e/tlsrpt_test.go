//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"net/netip"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

// A tlsReport is what this test reads of a report (RFC 8460, Section 4.4).
type tlsReport struct {
	Policies []struct {
		Policy struct {
			Domain string   `json:"policy-domain"`
			Text   []string `json:"policy-string"`
		} `json:"policy"`
		Summary struct {
			Successes int `json:"total-successful-session-count"`
			Failures  int `json:"total-failure-session-count"`
		} `json:"summary"`
		Details []struct {
			Result mtasts.Result `json:"result-type"`
			MX     string        `json:"receiving-mx-hostname"`
			IP     string        `json:"receiving-ip"`
			Count  int           `json:"failed-session-count"`
		} `json:"failure-details"`
	} `json:"policies"`
}

// The third publisher gets a report about the messages in its mailboxes, from nginx and from
// Postfix.
func TestTLSReport(t *testing.T) {
	w := newWorld(t)
	const domain, mx, stray = "nethence.com", "xc.nethence.com", "mx.plain.example"
	w.dns.replace(t, "_smtp._tls."+domain, "TXT",
		txt("v=TLSRPTv1; rua=https://mta-sts.nethence.com/tlsrpt,mailto:tlsrpt@nethence.com"))

	store, err := cache.OpenBolt(filepath.Join(t.TempDir(), "tlsrpt.db"))
	if err != nil {
		t.Fatal(err)
	}
	collector, err := tlsrpt.New(store, tlsrpt.Options{
		Organization: "Sender",
		Contact:      "postmaster@sender.example",
		From:         "tlsrpt@sender.example",
		SendMail: func(ctx context.Context, from, to string, message []byte) error {
			return w.deliver(ctx, mtasts.NoPolicy(domain), mx, from, to, message)
		},
		Resolver:  resolver.System{Server: w.dns.addr},
		RootCAs:   w.ca.Pool(),
		AllowNets: []netip.Prefix{w.net},
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := mtasts.Open(filepath.Join(t.TempDir(), "policies.db"), &mtasts.Options{
		Resolver:  resolver.System{Server: w.dns.addr},
		RootCAs:   w.ca.Pool(),
		AllowNets: []netip.Prefix{w.net},
		// Reports go out on the following day at a time that depends on the domain, and no
		// later than 24 hours after that. Of yesterday and the day before, exactly one has a
		// report that can be sent now.
		Report: func(e mtasts.Event) {
			for range 2 {
				e.Time = e.Time.Add(-24 * time.Hour)
				collector.Report(e)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	policy, err := client.PolicyFor(t.Context(), domain)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		n      int
		mx, to string
	}{{3, mx, "well@" + domain}, {2, stray, "trouble@" + domain}} {
		for range m.n {
			if err := w.deliver(t.Context(), policy, m.mx, "a@sender.example", m.to, []byte("Subject: hello\r\n\r\nhello\r\n")); err != nil {
				t.Fatal(err)
			}
		}
	}

	go collector.Run(t.Context())
	eventually(t, "both destinations have the report", func() error {
		if s := collector.Stats(); s.Reports < 2 || s.Reported == 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if err := collector.Close(); err != nil {
		t.Error(err)
	}
	if s := collector.Stats(); s.Reports != 2 || s.Outcomes != 2*5 || s.Failures != 0 {
		t.Errorf("%+v, want two deliveries of a report, and five messages on each of two days", s)
	}

	posted := w.postedReports(t)
	mailed := w.mta.mailbox(t, "tlsrpt@"+domain)
	if len(posted) != 1 || len(mailed) != 1 {
		t.Fatalf("%d reports were posted and %d mailed, want one each", len(posted), len(mailed))
	}
	if mailed[0].by != mx || !strings.Contains(mailed[0].text, "\nTLS-Report-Domain: "+domain+"\n") {
		t.Errorf("the report came by %s:\n%s", mailed[0].by, mailed[0].text)
	}
	text := reportInMail(t, mailed[0].text)
	if text != posted[0] {
		t.Errorf("posted is\n%s\nmailed is\n%s", posted[0], text)
	}

	var r tlsReport
	if err := json.Unmarshal([]byte(text), &r); err != nil || len(r.Policies) != 1 || len(r.Policies[0].Details) != 1 {
		t.Fatalf("%v, want one policy with one kind of failure:\n%s", err, text)
	}
	p, failure := r.Policies[0], r.Policies[0].Details[0]
	if p.Policy.Domain != domain || strings.Join(p.Policy.Text, "\n")+"\n" != policy.Text {
		t.Errorf("the policy of %s is %q, want %q", p.Policy.Domain, p.Policy.Text, policy.Text)
	}
	well, trouble := len(w.mta.mailbox(t, "well@"+domain)), len(w.mta.mailbox(t, "trouble@"+domain))
	if p.Summary.Successes != well || p.Summary.Failures != trouble || failure.Count != trouble || well != 3 || trouble != 2 {
		t.Errorf("the mailboxes have %d and %d messages, but the report is\n%s", well, trouble, text)
	}
	if failure.Result != mtasts.ResultValidationFailure || failure.MX != stray || failure.IP != w.mxAddr[stray] {
		t.Errorf("the failure is %+v, want that of %s at %s", failure, stray, w.mxAddr[stray])
	}
}

// deliver hands a message to one MX host.
func (w *world) deliver(ctx context.Context, policy *mtasts.Policy, mx, from, to string, message []byte) error {
	host, err := policy.CheckMX(mx)
	if err != nil {
		return err
	}
	dialer := net.Dialer{Resolver: w.dns.resolver(), Timeout: patience}
	conn, err := dialer.DialContext(ctx, "tcp", mx+".:25")
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	host.Connection(conn.LocalAddr(), conn.RemoteAddr(), mx)
	c, err := smtp.NewClient(conn, mx)
	if err != nil {
		return err
	}
	if err := c.Hello("sender.example"); err != nil {
		return err
	}
	if offered, _ := c.Extension("STARTTLS"); offered {
		base := &tls.Config{RootCAs: w.ca.Pool(), InsecureSkipVerify: true}
		if err := errors.Join(c.StartTLS(host.TLSConfig(base)), c.Noop()); err != nil {
			return err
		}
		state, _ := c.TLSConnectionState()
		err = host.Verify(state)
	} else {
		err = host.AllowFallback(mtasts.ErrNoSTARTTLS)
	}
	if err := errors.Join(err, c.Mail(from), c.Rcpt(to)); err != nil {
		return err
	}
	body, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write(message); err != nil {
		return err
	}
	return errors.Join(body.Close(), c.Quit())
}

// postedReports returns the reports that nginx has stored.
func (w *world) postedReports(t *testing.T) (reports []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "nginx", "reports", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, gunzip(t, bytes.NewReader(body)))
	}
	return reports
}

// reportInMail unpacks the report in a message (RFC 8460, Section 5.3).
func reportInMail(t *testing.T, text string) string {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatalf("no part has a report: %v\n%s", err, text)
		}
		if media, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); media == "application/tlsrpt+gzip" {
			return gunzip(t, base64.NewDecoder(base64.StdEncoding, part))
		}
	}
}

func gunzip(t *testing.T, from io.Reader) string {
	t.Helper()
	unzip, err := gzip.NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
