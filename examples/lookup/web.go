package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
)

const (
	apiPath = "/api/v1/lookup"

	// longestDomain, in octets, leaves room for brackets, a port, and a name in Unicode.
	longestDomain = 1000
)

// A web is the handler of lookup serve.
type web struct {
	inquiry *inquiry
	shared  *shared
	clients *clients
	hosts   []string       // names, in lower case, under which browsers may ask
	proxies []netip.Prefix // whose X-Forwarded-For is true
}

func newWeb(q *inquiry, hosts []string, proxies []netip.Prefix) *web {
	return &web{inquiry: q, shared: newShared(q.report), clients: newClients(), hosts: hosts, proxies: proxies}
}

// headers are those of each answer.
var headers = map[string]string{
	"Content-Security-Policy":      pagePolicy() + "; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

// A failure is a request without a report.
type failure struct {
	status int
	text   string
	retry  time.Duration // 0: the same request will never do
}

// ServeHTTP answers with the whole or with an error: nothing is sent before all is rendered.
func (s *web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, value := range headers {
		header.Set(name, value)
	}
	domain := strings.TrimSpace(r.URL.Query().Get("domain"))
	report, failed := s.answer(r, domain)
	status := http.StatusOK
	switch {
	case failed != nil:
		status = failed.status
		if failed.retry > 0 {
			header.Set("Retry-After", strconv.Itoa(int(failed.retry.Seconds())))
		}
		if status == http.StatusMethodNotAllowed {
			header.Set("Allow", "GET, HEAD")
		}
	case report != nil && report.Domain == "":
		status = http.StatusBadRequest // of which the report tells
	}
	render, kind := s.page, "text/html; charset=utf-8"
	if r.URL.Path == apiPath {
		render, kind = s.json, "application/json"
	}
	body, err := render(report, failed, domain)
	if err != nil {
		status, kind, body = http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("The page cannot be made.\n")
	}
	header.Set("Content-Type", kind)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// answer returns a report, or why there is none; neither for a request that asks for nothing.
func (s *web) answer(r *http.Request, domain string) (*diagnose.Report, *failure) {
	switch {
	case !s.isHost(r.Host):
		return nil, &failure{http.StatusMisdirectedRequest, fmt.Sprintf("This server is not known as %.200q. Its operator can add a name with the flag -host.", r.Host), 0}
	case r.URL.Path != "/" && r.URL.Path != apiPath:
		return nil, &failure{http.StatusNotFound, "There is no page at this address.", 0}
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return nil, &failure{http.StatusMethodNotAllowed, "This address only answers questions.", 0}
	case len(domain) > longestDomain:
		return nil, &failure{http.StatusBadRequest, "This is too long for a domain.", 0}
	case domain == "" && (r.URL.Path == apiPath || r.URL.Query().Has("domain")):
		return nil, &failure{http.StatusBadRequest, "No domain is given.", 0}
	case domain == "":
		return nil, nil
	}
	leave, wait := s.clients.enter(clientOf(r, s.proxies))
	if leave == nil {
		return nil, &failure{http.StatusTooManyRequests, "Too many questions come from your network. Try again in a few seconds.", wait}
	}
	defer leave()
	// Others get the same report: it shall not tell how the first one wrote the domain.
	report, err := s.shared.report(r.Context(), policyDomain(domain))
	if errors.Is(err, errBusy) {
		return nil, &failure{http.StatusServiceUnavailable, "Too many questions are being answered. Try again in a few seconds.", 10 * time.Second}
	}
	if err != nil { // the client has left
		return nil, &failure{http.StatusServiceUnavailable, "The answer did not come in time.", 10 * time.Second}
	}
	return report, nil
}

// isHost reports whether a browser may ask under a name. A page of anybody's could otherwise
// let its own name point here, and read the answers (DNS rebinding). No name points to an
// address in its place.
func (s *web) isHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	_, err = netip.ParseAddr(name)
	return err == nil || name == "localhost" || slices.Contains(s.hosts, name)
}

func (s *web) page(report *diagnose.Report, failed *failure, domain string) ([]byte, error) {
	shown := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, domain)
	d := &document{Served: true, Domain: shown, Start: report == nil && failed == nil}
	switch {
	case failed != nil:
		d.Error = &problem{fmt.Sprintf("%d %s", failed.status, http.StatusText(failed.status)), failed.text}
	case report != nil:
		d.Reports = []sheet{{Report: report, number: 1}}
	default:
		for _, name := range s.inquiry.domains {
			_, text, _ := strings.Cut(s.inquiry.scenes[name], ". ") // its number
			d.Examples = append(d.Examples, example{name, text})
		}
	}
	return d.render()
}

// json is a report in the form of -json, or an object with an error.
func (s *web) json(report *diagnose.Report, failed *failure, _ string) ([]byte, error) {
	var b bytes.Buffer
	var err error
	if failed != nil {
		err = json.NewEncoder(&b).Encode(map[string]any{"version": diagnose.Version, "error": failed.text})
	} else {
		err = json.NewEncoder(&b).Encode(report)
	}
	return b.Bytes(), err
}
