package diagnose

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
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
	body, err := client.Observe(ctx, h.Name, &d.trace)
	d.body = body
	d.failed, _ = errors.AsType[*fetch.Error](err)
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
	switch {
	case d.failed == nil:
		d.explain()
	case d.failed.Refused != "":
		h.Error, h.Result, h.Reason = errorText(err), string(mtasts.ResultPolicyFetchError), mtasts.ReasonNotAPolicyFile
		browser := fetch.Trace{UserAgent: browserAgent}
		if _, err := client.Observe(ctx, h.Name, &browser); err == nil && browser.Response != nil && d.r.Answer != nil {
			d.r.Answer.Browser = browser.Response.StatusCode
			d.r.Answer.BrowserType = clean(fetch.MediaType(browser.Response.Header))
		}
	default:
		h.Error = errorText(err)
		h.Result, h.Reason = certcheck.ClassifyFetch(err, d.opts.RootCAs)
	}
	h.Aliases = d.opts.aliases(ctx, h.Name)
}

// addresses says what the guard makes of the addresses of a host.
func (d *diagnosis) addresses(addrs []netip.Addr) []Address {
	list := []Address{}
	for _, addr := range addrs[:min(len(addrs), maxAddrs)] {
		list = append(list, Address{addr.Unmap().String(), errorText(fetch.CheckAddr(addr, d.opts.AllowNets))})
	}
	return list
}

// noneAllowed reports whether the guard keeps a sender from all addresses of a host.
func noneAllowed(list []Address) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(a Address) bool { return a.Refused == "" })
}

// fields are the header fields that tell something about a policy file.
var fields = []string{"Content-Type", "Content-Length", "Content-Encoding", "Location", "Age", "Cache-Control", "Expires", "Last-Modified",
	"Etag", "Server", "Via", "X-Cache", "Cf-Cache-Status", "Cf-Mitigated", "Retry-After", "Www-Authenticate", "Strict-Transport-Security"}

func (d *diagnosis) describeAnswer() {
	resp, body := d.trace.Response, string(d.trace.Body)
	a := &Answer{Status: resp.StatusCode, Proto: clean(resp.Proto), MediaType: clean(fetch.MediaType(resp.Header)), Header: []Field{},
		Octets: len(body), Whole: d.trace.Whole, Body: lines(body), LineEnds: lineEnds(body)}
	for _, name := range fields {
		for _, value := range resp.Header.Values(name) {
			if len(a.Header) < maxFields {
				a.Header = append(a.Header, Field{name, clean(value)})
			}
		}
	}
	if d.failed != nil {
		a.Error = errorText(d.failed.Err)
	}
	d.r.Answer = a
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

// expected reports whether the domain takes part in MTA-STS: something of it is published,
// or the sender has a policy cached. A policy host alone proves nothing, because a wildcard
// record gives every name an address; its certificate and its file do.
func (d *diagnosis) expected() bool {
	r, h := &d.r.Record, &d.r.PolicyHost
	return !errors.Is(d.recordErr, sts.ErrNoRecord) || d.elsewhere != "" || len(r.Aliases) > 0 ||
		slices.ContainsFunc(r.TXT, func(txt TXT) bool { return txt.Role == RoleNearMiss }) ||
		d.trace.TLS != nil && len(d.trace.TLS.PeerCertificates) > 0 && slices.Contains(d.trace.TLS.PeerCertificates[0].DNSNames, h.Name) ||
		strings.Contains(d.body, "STSv1") || d.cached() != nil
}

func (d *diagnosis) judgeHost() {
	h := &d.r.PolicyHost
	if !d.expected() {
		return // no sender asks it
	}
	if h.TLS != nil {
		d.judgeCertificate(h.TLS, "host", h.Name)
	}
	switch {
	case d.failed == nil:
		d.judgeAge()
		if d.r.Answer != nil && d.r.Answer.MediaType == "" {
			d.add("answer-media-type-missing", "", nil).publish("Content-Type: text/plain")
		}
	case d.failed.Refused != "":
		d.judgeRefusal()
	default:
		d.judgeTransport()
	}
}

// judgeTransport is for an answer that did not come, or not whole.
func (d *diagnosis) judgeTransport() {
	h := &d.r.PolicyHost
	dns, _ := errors.AsType[*net.DNSError](d.failed)
	_, uncertified := errors.AsType[*tls.CertificateVerificationError](d.failed)
	code := Code("host-tls-failed")
	switch session := d.trace.TLS; {
	case uncertified && h.TLS != nil && !h.TLS.Valid:
		return // it is the certificate that was judged
	case uncertified:
		code = "host-certificate-untrusted"
	case dns != nil && dns.IsNotFound, h.Addresses != nil && len(h.Addresses) == 0:
		code = "host-missing"
	case h.Reason == certcheck.ReasonDNSFailure:
		code = "host-dns-failure"
	case noneAllowed(h.Addresses):
		code = "host-not-public"
	case d.incomplete:
		return // not the host's fault
	case h.Reason == certcheck.ReasonTimeout:
		code = "host-timeout"
	case h.Reason == certcheck.ReasonConnectFailed:
		code = "host-unreachable"
	case d.r.Answer != nil || session != nil && session.HandshakeComplete && session.Version >= tls.VersionTLS12:
		code = "answer-broken"
	}
	f := d.add(code, h.Name, args{"name": h.Name, "error": errorText(d.failed.Err), "reason": h.Reason})
	for _, addr := range h.Addresses {
		f.show(h.Name, addr.Addr, 0)
	}
}

// judgeRefusal is for an answer that is no policy file.
func (d *diagnosis) judgeRefusal() {
	h, answer := &d.r.PolicyHost, d.r.Answer
	if answer == nil {
		answer = new(Answer) // one whose header could not be read to its end
	}
	a := args{"url": h.URL, "error": errorText(d.failed.Err), "type": answer.MediaType,
		"status": strconv.Itoa(answer.Status), "browser": strconv.Itoa(answer.Browser)}
	var f *Finding
	switch refused, status := d.failed.Refused, answer.Status; {
	case answer.Browser != 0:
		f = d.add("answer-bot-check", "", a)
	case refused == fetch.RefusedSize:
		f = d.add("answer-too-large", "", a)
	case refused == fetch.RefusedMediaType && isHTML(string(d.trace.Body)):
		f = d.addHTML()
	case refused == fetch.RefusedMediaType:
		f = d.add("answer-media-type", "", a).publish("Content-Type: text/plain")
	case refused != fetch.RefusedStatus || status == 0:
		f = d.add("answer-broken", "", a)
	case status/100 == 3:
		a["location"] = cmp.Or(clean(d.trace.Response.Header.Get("Location")), "nowhere")
		f = d.add("answer-redirect", "", a)
	case status == http.StatusNotFound || status == http.StatusGone:
		f = d.add("answer-not-found", "", a).publish(d.newFile()...)
	default:
		f = d.add("answer-status", "", a)
	}
	f.show("request", "GET /.well-known/mta-sts.txt, Host: "+h.Name, 0)
	if answer.Status != 0 {
		f.show("status", a["status"], 0)
	}
	for _, field := range answer.Header {
		f.show(field.Name, field.Value, 0)
	}
}

func (d *diagnosis) addHTML() *Finding {
	const most = 3
	body := d.r.Answer.Body
	f := d.add("answer-html", "", args{"url": d.r.PolicyHost.URL}).publish(d.newFile()...)
	f.showOther("body", body[:min(len(body), most)], nil)
	return f
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
