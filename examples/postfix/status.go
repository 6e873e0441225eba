package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/mtasts/go-mtasts/mtasts"
)

//go:embed status.html
var statusHTML string

const (
	maxWeb    = 64              // HTTP connections on a listener; those beyond wait
	pageRows  = 200             // domains on a page
	pageLimit = 5 * time.Second // for the walk through the store
)

// A status serves metrics, health and the status page.
type status struct {
	*daemon
	client  *mtasts.Client
	answers *answers
	server  *server
	begun   time.Time

	page   *template.Template
	policy string // Content-Security-Policy
}

// serve serves HTTP on the listeners until the function that it returns is called.
func (s *status) serve(listeners []net.Listener) (stop func()) {
	s.init()
	web := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	for _, l := range listeners {
		go web.Serve(netutil.LimitListener(l, maxWeb)) // until Shutdown
		s.log.Info("listening for HTTP", "address", l.Addr().String())
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		web.Shutdown(ctx)
		web.Close()
	}
}

// init prepares the page. A saved page must stand alone, so its style is inside it, and known
// by its hash.
func (s *status) init() {
	s.begun = time.Now()
	_, style, _ := strings.Cut(statusHTML, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	hash := sha256.Sum256([]byte(style))
	s.policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	s.page = template.Must(template.New("status").Parse(statusHTML))
}

func (s *status) handler() http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", s.show)
	pages.HandleFunc("POST /forget", s.forget)
	mux := http.NewServeMux()
	mux.Handle("/", byAddress(http.NewCrossOriginProtection().Handler(pages)))
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		writeMetrics(w, s.metrics())
	})
	mux.HandleFunc("GET /healthz", s.health)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", s.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// byAddress refuses requests for a name. A page elsewhere can give its own name the address
// of this server, and then counts as of the same origin (DNS rebinding).
func byAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isAddress(r.Host) {
			http.Error(w, "use an IP address or localhost", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isAddress reports whether a Host field names no host but an address, or localhost.
func isAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost"
}

// health is 503 while the store cannot be read or written.
func (s *status) health(w http.ResponseWriter, _ *http.Request) {
	if _, _, bad := s.events.snapshot(); bad {
		http.Error(w, "the store fails", http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
}

// forget removes a policy, if the operator allows that.
func (s *status) forget(w http.ResponseWriter, r *http.Request) {
	if !s.cfg.allow {
		http.Error(w, "the server runs without -allow-forget", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	domain := r.FormValue("domain")
	if err := s.client.Forget(r.Context(), domain); err != nil {
		code := http.StatusInternalServerError
		if errors.Is(err, mtasts.ErrInvalidDomain) {
			code = http.StatusBadRequest
		}
		http.Error(w, err.Error(), code)
		return
	}
	s.log.Info("policy removed by hand", "domain", domain)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// A row is one domain on the status page.
type row struct {
	Domain, Mode, Override, MX, ID string
	Age, Expires, Refresh          string
	Failures                       int
	Since                          string
}

// show is the status page. The query parameter q filters domains, after continues a list.
func (s *status) show(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	data := struct {
		Now, Version, Query, More string
		Allow, StoreBad, DANE     bool
		Stats                     mtasts.Stats
		Rows                      []row
		Changes, Alarms           []event
		Errors                    []string
	}{
		Now: now.UTC().Format(time.RFC3339), Version: version(), Query: r.FormValue("q"),
		Allow: s.cfg.allow, DANE: s.answers.hosts.dane, Stats: s.client.Stats(),
	}
	data.Changes, data.Alarms, data.StoreBad = s.events.snapshot()
	ctx, cancel := context.WithTimeout(r.Context(), pageLimit)
	defer cancel()
	query, after := strings.ToLower(data.Query), r.FormValue("after")
	for c, err := range s.client.All(ctx) {
		if err != nil {
			if data.Errors = append(data.Errors, err.Error()); len(data.Errors) == 5 {
				break
			}
			continue
		}
		p := c.Policy
		if p.Domain <= after || !strings.Contains(p.Domain, query) {
			continue
		}
		if len(data.Rows) == pageRows {
			data.More = data.Rows[pageRows-1].Domain
			break
		}
		data.Rows = append(data.Rows, describe(c, now))
	}
	var page bytes.Buffer
	if err := s.page.Execute(&page, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.WriteTo(w)
}

func describe(c *mtasts.Cached, now time.Time) row {
	p := c.Policy
	r := row{
		Domain: p.Domain, Mode: string(p.Mode), Override: string(p.Override), ID: p.ID,
		MX:  strings.Join(p.MX[:min(len(p.MX), 20)], " "),
		Age: span(now.Sub(p.Fetched)), Expires: "expired", Refresh: "idle", Failures: c.Failures,
	}
	if p.Expires.After(now) {
		r.Expires = span(p.Expires.Sub(now))
	}
	if !c.NextRefresh.IsZero() {
		r.Refresh = span(c.NextRefresh.Sub(now))
	}
	if c.Failures > 0 {
		r.Since = span(now.Sub(c.Since))
	}
	return r
}

// span is a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}
