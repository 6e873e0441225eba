package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"strings"

	"github.com/mtasts/go-mtasts/examples/internal/testnet"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

// webHost is the host that receives reports by HTTPS. The certificate of httptest has its name.
const webHost = "reports.example.com"

// A report is what a receiver reads of one.
type report struct {
	text     []byte // the JSON
	Policies []struct {
		Policy struct {
			Type   string `json:"policy-type"`
			Domain string `json:"policy-domain"`
		} `json:"policy"`
		Summary struct {
			Successes uint64 `json:"total-successful-session-count"`
			Failures  uint64 `json:"total-failure-session-count"`
		} `json:"summary"`
		Failures []struct {
			Result string `json:"result-type"`
			MX     string `json:"receiving-mx-hostname"`
			Count  uint64 `json:"failed-session-count"`
		} `json:"failure-details"`
	} `json:"policies"`
}

// A receiver gets the reports for the domains of the net.
type receiver struct {
	net *testnet.Net
	web *httptest.Server
	got chan got
}

// got is a report, or why what came is none.
type got struct {
	report report
	err    error
}

// newReceiver publishes where the domains want their reports, and starts a web server on
// loopback.
func newReceiver(net *testnet.Net) *receiver {
	r := &receiver{net: net, got: make(chan got, 10)}
	r.web = httptest.NewUnstartedServer(http.HandlerFunc(r.posted))
	r.web.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.web.StartTLS()
	address := netip.MustParseAddrPort(r.web.Listener.Addr().String())
	dns := net.World.DNS
	dns.Set(webHost, resolver.Records{Addr: []netip.Addr{address.Addr()}})
	for domain, rua := range map[string]string{
		testnet.EnforceDomain: fmt.Sprintf("https://%s:%d/v1", webHost, address.Port()),
		testnet.TestingDomain: "mailto:tls-reports@" + testnet.TestingDomain,
	} {
		dns.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; rua=" + rua}})
	}
	return r
}

// roots are those that the certificate of the web server chains to.
func (r *receiver) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(r.web.Certificate())
	return pool
}

func (r *receiver) close() { r.web.Close() }

// posted receives a report by HTTPS (RFC 8460, Section 5.4).
func (r *receiver) posted(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost || req.Header.Get("Content-Type") != tlsrpt.MediaTypeGzip {
		http.Error(w, "no report", http.StatusBadRequest)
		return
	}
	report, err := readGzip(req.Body)
	if err != nil {
		http.Error(w, "no report", http.StatusBadRequest)
	} else {
		w.WriteHeader(http.StatusCreated)
	}
	r.got <- got{report, err}
}

// mailed takes the last message out of the mailbox: a report by mail (RFC 8460, Section 5.3).
func (r *receiver) mailed() {
	mailbox := r.net.World.Mail(testnet.TestingMX)
	report, err := readMail(mailbox[len(mailbox)-1].Data)
	r.got <- got{report, err}
}

// wait returns the first report of each domain.
func (r *receiver) wait(ctx context.Context) (map[string]report, error) {
	reports := make(map[string]report)
	for len(reports) < 2 {
		select {
		case got := <-r.got:
			if got.err != nil {
				return nil, got.err
			}
			reports[got.report.Policies[0].Policy.Domain] = got.report
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the reports: %w", context.Cause(ctx))
		}
	}
	return reports, nil
}

// readMail reads the second part of a message: the first is a text for people.
func readMail(text string) (report, error) {
	message, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return report{}, err
	}
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return report{}, err
	}
	parts := multipart.NewReader(message.Body, params["boundary"])
	if _, err := parts.NextPart(); err != nil {
		return report{}, err
	}
	part, err := parts.NextPart()
	if err != nil {
		return report{}, err
	}
	return readGzip(base64.NewDecoder(base64.StdEncoding, part))
}

// readGzip reads compressed JSON.
func readGzip(from io.Reader) (r report, err error) {
	const most = 1 << 20 // octets of JSON
	unzip, err := gzip.NewReader(from)
	if err == nil {
		r.text, err = io.ReadAll(io.LimitReader(unzip, most))
	}
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(r.text)).Decode(&r)
	}
	if err == nil && len(r.Policies) == 0 {
		err = fmt.Errorf("a report without policies: %q", r.text)
	}
	return r, err
}
