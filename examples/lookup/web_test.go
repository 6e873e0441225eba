package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/resolver"
)

// web returns a server on the stage.
func (s *stage) web() *web {
	q := &inquiry{opts: diagnose.Options{Resolver: s.DNS, Transport: s.Options().Transport, RootCAs: s.Roots(), Dial: s.Dial, Probe: true}}
	w := newWeb(q, []string{"lookup.example"}, nil)
	s.t.Cleanup(w.shared.close)
	return w
}

// request sends a request; change may be nil.
func request(h http.Handler, method, target string, change func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	r.Host, r.RemoteAddr = "127.0.0.1:8460", "192.0.2.1:1000"
	if change != nil {
		change(r)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRoutes(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		w := s.web()
		for _, test := range []struct {
			method, target, host string
			status               int
			kind, contains       string
		}{
			{"GET", "/", "", 200, "text/html", `<form action="/" method="get"`},
			{"HEAD", "/", "", 200, "text/html", ""},
			{"GET", "/?domain=example.com", "", 200, "text/html", "Mail is protected"},
			{"GET", "/?domain=%20Example.COM.", "", 200, "text/html", "Mail is protected"},
			{"GET", "/?domain=a..b", "", 400, "text/html", "No policy can apply"},
			{"GET", "/?domain=", "", 400, "text/html", "No domain is given"},
			{"GET", "/?domain=" + strings.Repeat("a", 2000), "", 400, "text/html", "too long"},
			{"GET", apiPath + "?domain=example.com", "", 200, "application/json", `"asked":"example.com"`},
			{"GET", apiPath + "?domain=a..b", "", 400, "application/json", `"domain-invalid"`},
			{"GET", apiPath, "", 400, "application/json", `{"error":"No domain is given.","version":1}`},
			{"POST", apiPath, "", 405, "application/json", `"error"`},
			{"POST", "/", "", 405, "text/html", "Method Not Allowed"},
			{"GET", "/nowhere", "", 404, "text/html", "404 Not Found"},
			{"GET", "/", "attacker.example", 421, "text/html", "attacker.example"},
			{"GET", apiPath + "?domain=example.com", "127.0.0.1.attacker.example:80", 421, "application/json", `"error"`},
			{"GET", "/", "<script>", 421, "text/html", "&lt;script&gt;"},
			{"GET", "/", "Lookup.example.:443", 200, "text/html", "<form"},
			{"GET", "/", "localhost:8460", 200, "text/html", "<form"},
			{"GET", "/", "[::1]:8460", 200, "text/html", "<form"},
			{"GET", "/", "[::1]", 200, "text/html", "<form"},
		} {
			resp := request(w, test.method, test.target, func(r *http.Request) {
				if test.host != "" {
					r.Host = test.host
				}
			})
			got := body(t, resp)
			if resp.StatusCode != test.status || !strings.HasPrefix(resp.Header.Get("Content-Type"), test.kind) || !strings.Contains(got, test.contains) {
				t.Errorf("%s %.60s at %s: %d, %s:\n%.3000s", test.method, test.target, test.host, resp.StatusCode, resp.Header.Get("Content-Type"), got)
			}
			if allow := resp.Header.Get("Allow"); (allow != "") != (test.status == 405) {
				t.Errorf("%s %s: Allow is %q", test.method, test.target, allow)
			}
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; style-src 'sha256-",
				"X-Content-Type-Options":  "nosniff",
				"Referrer-Policy":         "no-referrer",
				"Cache-Control":           "no-store",
				"Content-Length":          fmt.Sprint(len(got)),
			} {
				if value := resp.Header.Get(name); !strings.HasPrefix(value, want) {
					t.Errorf("%s %.60s: %s is %q, want %q", test.method, test.target, name, value, want)
				}
			}
			if policy := resp.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self'; base-uri 'none'; frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("the policy is %q", policy)
			}
			if resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %v", test.method, test.target, resp.Header)
			}
		}
	})
}

// The API has what -json prints.
func TestAPIIsTheReport(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		got := body(t, request(s.web(), "GET", apiPath+"?domain=example.com", nil))
		_, want, _ := s.lookup("-probe", "-json", "example.com")
		changing := regexp.MustCompile(random.String() + `|"seconds":[^,]*`)
		if got, want := changing.ReplaceAllString(got, ""), changing.ReplaceAllString(want, ""); got != want {
			t.Errorf("the API has\n%s\nand -json\n%s", got, want)
		}
		var r diagnose.Report
		if err := json.Unmarshal([]byte(got), &r); err != nil || r.Version != diagnose.Version {
			t.Errorf("%v, version %d", err, r.Version)
		}
	})
}

// Names that point into the operator's network lead nowhere.
func TestServeKeepsTheGuard(t *testing.T) {
	dns := &resolver.Fake{}
	for name, records := range map[string]resolver.Records{
		"_mta-sts.inside.example": {TXT: []string{"v=STSv1; id=1;"}},
		"mta-sts.inside.example":  {Addr: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")}},
		"inside.example":          {Addr: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("::1")}},
	} {
		dns.Set(name, records)
	}
	w := newWeb(&inquiry{opts: diagnose.Options{Resolver: dns, Probe: true}}, nil, nil)
	defer w.shared.close()
	var r diagnose.Report
	if err := json.NewDecoder(request(w, "GET", apiPath+"?domain=inside.example", nil).Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	if len(r.MX) != 1 || r.MX[0].Probe == nil || len(r.PolicyHost.Addresses) != 2 || len(r.MX[0].Probe.Addresses) != 3 {
		t.Fatalf("%+v", r)
	}
	for _, a := range append(r.PolicyHost.Addresses, r.MX[0].Probe.Addresses...) {
		if a.Refused == "" {
			t.Errorf("%s is not refused", a.Addr)
		}
	}
	if r.MX[0].Probe.State != diagnose.Unknown || r.MX[0].Probe.Address != "" || r.PolicyHost.Address != "" {
		t.Errorf("%+v, %+v", r.PolicyHost, r.MX[0].Probe)
	}
}
