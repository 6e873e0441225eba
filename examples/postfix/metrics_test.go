package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
)

func newStatus(t *testing.T, cfg config) *status {
	t.Helper()
	a, _ := newAnswers(t, false)
	d := &daemon{cfg: &cfg, log: slog.New(slog.DiscardHandler)}
	s := &status{daemon: d, client: a.client, answers: a, server: newServer(a.answer, d.log)}
	s.init()
	reply(a, "mta-sts enforce.example")
	return s
}

func get(t *testing.T, s *status, r *http.Request) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func request(method, target string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:8463"
	return r
}

// The conventions are those of https://prometheus.io/docs/practices/naming/.
func TestMetrics(t *testing.T) {
	s := newStatus(t, config{})
	resp, body := get(t, s, request("GET", "/metrics"))
	if got := resp.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Error(got)
	}
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	sample := regexp.MustCompile(`^([a-z0-9_]+)(\{[a-z_]+="[^"\\\n]*"\})? [0-9.e+-]+$`)
	seen := make(map[string]bool)
	var current string
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		switch fields := strings.SplitN(line, " ", 4); {
		case strings.HasPrefix(line, "# HELP "):
			if current = fields[2]; seen[current] || !name.MatchString(current) || !strings.HasSuffix(line, ".") {
				t.Errorf("%s: twice, or no good name or help", line)
			}
			seen[current] = true
		case strings.HasPrefix(line, "# TYPE "):
			if fields[2] != current || strings.HasSuffix(current, "_total") != (fields[3] == "counter") {
				t.Errorf("%s: _total is for counters", line)
			}
		default:
			if m := sample.FindStringSubmatch(line); m == nil || m[1] != current {
				t.Errorf("%q is no sample of %s", line, current)
			}
		}
	}
	for _, want := range []string{
		"mtasts_lookups_total{outcome=\"policy\"} 1\n", "mtasts_postfix_replies_total{reply=\"secure\"} 1\n",
		"mtasts_postfix_replies_total{reply=\"temp\"} 0\n", "mtasts_postfix_connections_limit 1024\n",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
}

// Each counter and gauge of the library has its metric.
func TestMetricsAreComplete(t *testing.T) {
	s := newStatus(t, config{})
	samples := 0
	for _, m := range s.metrics() {
		if strings.HasPrefix(m.name, "mtasts_") && !strings.HasPrefix(m.name, "mtasts_postfix_") {
			samples += len(m.samples)
		}
	}
	if want := reflect.TypeFor[mtasts.Stats]().NumField(); samples != want {
		t.Errorf("%d samples for %d fields of Stats", samples, want)
	}
}

// The dashboard asks for no metric and no label value that does not exist.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	s := newStatus(t, config{})
	kinds := make(map[string]string)
	labels := make(map[string]bool)
	for _, m := range s.metrics() {
		kinds[m.name] = m.kind
		for _, sample := range m.samples {
			labels[m.name+sample.labels] = true
		}
	}
	selector := regexp.MustCompile(`((?:mtasts|go|process)_[a-z_]+)(\{[^}]*\})?(\[)?`)
	queries := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			found := selector.FindAllStringSubmatch(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s: %q has no metric", panel.Title, target.Expr)
			}
			for _, m := range found {
				queries++
				if kinds[m[1]] == "" || m[2] != "" && !labels[m[1]+m[2]] {
					t.Errorf("%s: there is no %s%s", panel.Title, m[1], m[2])
				}
				if (kinds[m[1]] == "counter") != (m[3] == "[") {
					t.Errorf("%s: a counter needs a rate, and nothing else does: %s", panel.Title, target.Expr)
				}
			}
		}
	}
	if queries < 10 {
		t.Errorf("%d queries", queries)
	}
}

func TestStatusPage(t *testing.T) {
	s := newStatus(t, config{})
	hostile := "<script>alert(1)</script>"
	s.events.add(mtasts.Event{Kind: mtasts.EventRefresh, Time: time.Now(), Domain: hostile, Err: errors.New(hostile)})
	s.events.add(mtasts.Event{Kind: mtasts.EventChange, Time: time.Now(), Domain: "changed.example", Reason: mtasts.ReasonEnforcementEnded,
		Previous: &mtasts.Policy{Mode: mtasts.ModeEnforce}, Policy: &mtasts.Policy{Mode: mtasts.ModeNone}})
	var body string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); { // the writer is at work
		var resp *http.Response
		resp, body = get(t, s, request("GET", "/?q="+"ENFORCE"))
		_, style, _ := strings.Cut(body, "<style>")
		style, _, _ = strings.Cut(style, "</style>")
		hash := sha256.Sum256([]byte(style))
		csp := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, base64.StdEncoding.EncodeToString(hash[:])) || !strings.Contains(csp, "default-src 'none'") {
			t.Fatalf("the style is not the one of %s", csp)
		}
		if strings.Contains(body, "<b>enforce.example</b>") {
			break
		}
	}
	for _, want := range []string{"<b>enforce.example</b>", ">mx.enforce.example</td>", "changed.example", "enforce to none", "&lt;script&gt;"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	for _, not := range []string{hostile, "<script", "src=", "http://", "https://", "Forget"} {
		if strings.Contains(body, not) {
			t.Errorf("%q is in\n%s", not, body)
		}
	}
	if _, body := get(t, s, request("GET", "/?q=%22%3E%3Cscript%3E")); strings.Contains(body, "<script") {
		t.Error(body)
	}
}

func TestStatusPageIsReadOnlyUnlessAllowed(t *testing.T) {
	for _, c := range []struct {
		what   string
		allow  bool
		change func(*http.Request)
		want   int
	}{
		{"read-only", false, func(*http.Request) {}, http.StatusForbidden},
		{"allowed", true, func(*http.Request) {}, http.StatusSeeOther},
		{"from another site", true, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		{"by a name of an attacker's", true, func(r *http.Request) { r.Host = "rebind.example:8463" }, http.StatusMisdirectedRequest},
		{"no domain", true, func(r *http.Request) { r.URL.RawQuery = "domain=a/b" }, http.StatusBadRequest},
	} {
		s := newStatus(t, config{allow: c.allow})
		r := request("POST", "/forget?domain=enforce.example")
		c.change(r)
		if resp, body := get(t, s, r); resp.StatusCode != c.want {
			t.Errorf("%s: %s %s", c.what, resp.Status, body)
		}
		reply(s.answers, "mta-sts enforce.example")
		if again := s.client.Stats().FetchesOK == 2; again != (c.want == http.StatusSeeOther) {
			t.Errorf("%s: the policy was fetched again: %v", c.what, again)
		}
	}
	s := newStatus(t, config{allow: true})
	if resp, _ := get(t, s, request("GET", "/forget")); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Error(resp.Status)
	}
}

func TestHealth(t *testing.T) {
	s := newStatus(t, config{})
	for _, c := range []struct {
		err  error
		want int
	}{{errors.New("disk full"), http.StatusServiceUnavailable}, {nil, http.StatusOK}} {
		s.events.add(mtasts.Event{Kind: mtasts.EventStore, Err: c.err})
		if resp, body := get(t, s, request("GET", "/healthz")); resp.StatusCode != c.want {
			t.Errorf("%v: %s %s", c.err, resp.Status, body)
		}
	}
}

// Whoever floods the status page takes no file descriptors from Postfix.
func TestHTTPConnectionsAreBounded(t *testing.T) {
	s := newStatus(t, config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.serve([]net.Listener{l})()
	var conns []net.Conn
	for range maxWeb {
		conn, _ := dial(t, "tcp", l.Addr().String())
		conns = append(conns, conn)
	}
	late, r := dial(t, "tcp", l.Addr().String())
	io.WriteString(late, "GET /healthz HTTP/1.0\r\n\r\n")
	late.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := r.Peek(1); err == nil {
		t.Error("a connection beyond the bound was served")
	}
	conns[0].Close()
	late.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := r.Peek(1); err != nil {
		t.Error(err)
	}
}

func TestEventLogIsBounded(t *testing.T) {
	var l eventLog
	for i := range 3 * maxEvents {
		l.add(mtasts.Event{Kind: mtasts.EventChange, Domain: string(rune('0' + i))})
	}
	changes, _, _ := l.snapshot()
	if len(changes) != maxEvents || changes[0].Domain != string(rune('0'+3*maxEvents-1)) {
		t.Errorf("%d, the first %q", len(changes), changes[0].Domain)
	}
}
