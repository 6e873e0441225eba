package diagnose

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/mtasts/go-mtasts/internal/certcheck"
	"github.com/mtasts/go-mtasts/internal/fetch"
	"github.com/mtasts/go-mtasts/internal/sts"
	"github.com/mtasts/go-mtasts/mtasts"
)

// browserAgent is what a browser says of itself, for a host that refuses what is none.
const browserAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"

// fetchFile fetches the policy file as a sender does (RFC 8461, Section 3.3), and once more
// as a browser if the answer was refused.
func (d *diagnosis) fetchFile(ctx context.Context) {
	h := &d.r.PolicyHost
	h.Name = sts.PolicyLabel + d.r.Domain
	h.URL = "https://" + h.Name + "/.well-known/mta-sts.txt"
	client := fetch.New(fetch.Config{Transport: d.opts.Transport, RootCAs: d.opts.RootCAs, AllowNets: d.opts.AllowNets,
		LookupNetIP: d.opts.Resolver.LookupNetIP, Port: d.opts.port})
	d.body, d.fetchErr = client.Observe(ctx, h.Name, &d.trace)
	h.Address = clean(d.trace.Address)
	if d.trace.Addresses != nil {
		h.Addresses = d.addresses(d.trace.Addresses)
	}
	if d.trace.TLS != nil {
		h.TLS = describeTLS(d.trace.TLS, h.Name, d.opts.RootCAs, time.Now())
	}
	if d.trace.Response != nil {
		d.describeAnswer()
	}
	var refused *fetch.Error
	switch {
	case d.fetchErr == nil:
		d.explain()
	case errors.As(d.fetchErr, &refused) && refused.Refused:
		browser := fetch.Trace{UserAgent: browserAgent}
		if _, err := client.Observe(ctx, h.Name, &browser); err == nil && browser.Response != nil && d.r.Answer != nil {
			d.r.Answer.Browser = browser.Response.StatusCode
			d.r.Answer.BrowserType = mediaType(browser.Response.Header)
		}
	}
	h.Aliases = d.opts.aliases(ctx, h.Name)
}

// addresses says what the guard makes of the addresses of a host.
func (d *diagnosis) addresses(addrs []netip.Addr) []Address {
	list := []Address{}
	for _, addr := range addrs[:min(len(addrs), maxAddrs)] {
		list = append(list, Address{addr.Unmap().String(), errorText(fetch.Refusal(addr, d.opts.AllowNets))})
	}
	return list
}

// fields are the header fields that tell something about a policy file.
var fields = []string{"Content-Type", "Content-Length", "Content-Encoding", "Location", "Age", "Cache-Control", "Expires", "Last-Modified",
	"Etag", "Server", "Via", "X-Cache", "Cf-Cache-Status", "Cf-Mitigated", "Retry-After", "Www-Authenticate", "Strict-Transport-Security"}

func (d *diagnosis) describeAnswer() {
	resp, body := d.trace.Response, string(d.trace.Body)
	a := &Answer{Status: resp.StatusCode, Proto: clean(resp.Proto), MediaType: mediaType(resp.Header), Header: []Field{},
		Octets: len(body), Whole: d.trace.Whole, Body: escape(body, maxBody), LineEnds: lineEnds(body)}
	for _, name := range fields {
		for _, value := range resp.Header.Values(name) {
			if len(a.Header) < maxFields {
				a.Header = append(a.Header, Field{name, clean(value)})
			}
		}
	}
	if answer, ok := errors.AsType[*fetch.Error](d.fetchErr); ok {
		a.Error = errorText(answer.Err)
	}
	d.r.Answer = a
}

func mediaType(header http.Header) string {
	full := header.Get("Content-Type")
	if t, _, err := mime.ParseMediaType(full); err == nil {
		return clean(t)
	}
	return clean(full)
}

// lineEnds is "LF", "CRLF", "mixed", or "none" for a text without any.
func lineEnds(text string) string {
	lf, crlf := strings.Count(text, "\n"), strings.Count(text, "\r\n")
	switch {
	case lf == 0:
		return "none"
	case crlf == 0:
		return "LF"
	case crlf == lf:
		return "CRLF"
	}
	return "mixed"
}

// fetchFailure puts a failed fetch into the terms of RFC 8460, Section 4.3.2.2, as package
// mtasts does.
func (d *diagnosis) fetchFailure() (result, reason string) {
	if answer, ok := errors.AsType[*fetch.Error](d.fetchErr); ok && answer.Refused {
		return string(mtasts.ResultPolicyFetchError), mtasts.ReasonNotAPolicyFile
	}
	result, reason = certcheck.ClassifyWith(d.fetchErr, d.opts.RootCAs)
	switch {
	case reason == certcheck.ReasonNoAuthorities:
		return string(mtasts.ResultValidationFailure), reason
	case strings.HasPrefix(result, "certificate-"):
		return string(mtasts.ResultWebPKIInvalid), cmp.Or(reason, result)
	}
	return string(mtasts.ResultPolicyFetchError), reason
}

// expected reports whether the domain means to have a policy: a record announces one, or
// there is a policy host.
func (d *diagnosis) expected() bool {
	if d.elsewhere != "" || !isNotFound(d.fetchErr) {
		return true
	}
	for _, txt := range d.r.Record.TXT {
		if txt.Role != RoleOther {
			return true
		}
	}
	return false
}

var hostCertificate = certificateCodes{"host-certificate-name", "host-certificate-expired", "host-certificate-untrusted", "host-certificate-expires-soon"}

func (d *diagnosis) judgeHost() {
	h := &d.r.PolicyHost
	if d.fetchErr != nil {
		h.Error = errorText(d.fetchErr)
		h.Result, h.Reason = d.fetchFailure()
	}
	if h.TLS != nil {
		d.judgeCertificate(h.TLS, hostCertificate, h.Name)
	}
	failed, _ := errors.AsType[*fetch.Error](d.fetchErr)
	_, uncertified := errors.AsType[*tls.CertificateVerificationError](d.fetchErr)
	switch {
	case failed == nil:
		d.judgeAge()
		if d.r.Answer != nil && d.r.Answer.MediaType == "" {
			d.add("answer-media-type-missing", "", nil).publish("Content-Type: text/plain")
		}
	case failed.Refused:
		d.judgeRefusal()
	case uncertified:
		if h.TLS == nil || h.TLS.Valid { // it is not the certificate that was judged above
			d.add("host-certificate-untrusted", h.Name, args{"error": h.Error, "reason": h.Reason})
		}
	default:
		d.judgeTransport(failed)
	}
}

// judgeTransport is for an answer that did not come, or not whole.
func (d *diagnosis) judgeTransport(failed *fetch.Error) {
	h := &d.r.PolicyHost
	a := args{"error": errorText(failed.Err)}
	dns, _ := errors.AsType[*net.DNSError](failed)
	_, refused := errors.AsType[*net.OpError](failed)
	allRefused := len(h.Addresses) > 0
	for _, addr := range h.Addresses {
		allRefused = allRefused && addr.Refused != ""
	}
	switch {
	case dns != nil && dns.IsNotFound, h.Addresses != nil && len(h.Addresses) == 0:
		if !d.expected() {
			return
		}
		d.add("host-missing", h.Name, a)
	case dns != nil:
		d.add("host-dns-failure", h.Name, a)
	case allRefused:
		f := d.add("host-not-public", h.Name, a)
		for _, addr := range h.Addresses {
			f.show(h.Name, addr.Addr, 0)
		}
	case d.incomplete:
		// not the host's fault
	case errors.Is(failed, context.DeadlineExceeded), h.Reason == certcheck.ReasonTimeout:
		d.add("host-timeout", h.Name, a)
	case d.r.Answer != nil || d.trace.TLS != nil && d.trace.TLS.HandshakeComplete && d.trace.TLS.Version >= tls.VersionTLS12:
		d.add("answer-incomplete", "", a)
	case d.trace.Address != "" || !refused:
		d.add("host-tls-failed", h.Name, a)
	default:
		d.add("host-unreachable", h.Name, a)
	}
}

// judgeRefusal is for an answer that is no policy file.
func (d *diagnosis) judgeRefusal() {
	h, answer := &d.r.PolicyHost, d.r.Answer
	if answer == nil {
		d.add("answer-incomplete", "", args{"error": h.Error})
		return
	}
	a := args{"url": h.URL, "status": strconv.Itoa(answer.Status), "error": answer.Error, "type": answer.MediaType,
		"browser": strconv.Itoa(answer.Browser), "location": clean(d.trace.Response.Header.Get("Location"))}
	var f *Finding
	switch s := answer.Status; {
	case answer.Browser != 0:
		f = d.add("answer-bot-check", "", a)
	case s/100 == 3:
		f = d.add("answer-redirect", "", a)
	case s == http.StatusNotFound || s == http.StatusGone:
		f = d.add("answer-not-found", "", a)
	case s != http.StatusOK:
		f = d.add("answer-status", "", a)
	case strings.Contains(answer.Error, "media type"):
		if isHTML(string(d.trace.Body)) {
			d.add("file-html", "", a).show("body", escape(answer.Body, 200), 0)
		}
		f = d.add("answer-media-type", "", a).publish("Content-Type: text/plain")
	case strings.Contains(answer.Error, "coding"):
		f = d.add("answer-coding", "", a)
	case strings.Contains(answer.Error, "longer") || strings.Contains(answer.Error, "more than"):
		f = d.add("answer-too-large", "", a)
	default:
		f = d.add("answer-incomplete", "", a)
	}
	f.show("request", "GET /.well-known/mta-sts.txt, Host: "+h.Name, 0)
	f.show("status", strconv.Itoa(answer.Status), 0)
	for _, field := range answer.Header {
		f.show(field.Name, field.Value, 0)
	}
}

// judgeAge detects a cache in front of the policy host. Its copy may be older than the record.
func (d *diagnosis) judgeAge() {
	if d.trace.Response == nil {
		return
	}
	const most = time.Hour
	age, err := strconv.ParseInt(d.trace.Response.Header.Get("Age"), 10, 32)
	if err == nil && time.Duration(age)*time.Second >= most {
		d.add("answer-stale", "", args{"age": plural(age, "second")}).show("Age", strconv.FormatInt(age, 10), 0)
	}
}

// isHTML reports whether a text is a web page.
func isHTML(text string) bool {
	start := strings.ToLower(strings.TrimLeft(text[:min(len(text), 200)], "\ufeff \t\r\n"))
	return strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html") || strings.HasPrefix(start, "<!--")
}
