package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
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

// wellFormed fails unless a page is one tree of elements, in which headings go down one level
// at a time and no id stands twice.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	page = regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAllString(page, "")
	page = regexp.MustCompile(`<(meta|link|input|br)\b([^>]*[^/>])?>`).ReplaceAllString(page, "<$1$2/>")
	page = regexp.MustCompile(` (required|autofocus|open)\b`).ReplaceAllString(page, ` $1=""`)
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	level, ids := 0, map[string]bool{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, page)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if name := start.Name.Local; len(name) == 2 && name[0] == 'h' && name[1] <= '6' {
			if next := int(name[1] - '0'); next > level+1 {
				t.Errorf("%s comes after h%d", name, level)
			} else {
				level = next
			}
		}
		switch start.Name.Local {
		case "script", "img", "iframe", "object", "base":
			t.Errorf("an element %s", start.Name.Local)
		}
		for _, attr := range start.Attr {
			switch name := attr.Name.Local; {
			case name == "id" && ids[attr.Value]:
				t.Errorf("the id %q stands twice", attr.Value)
			case name == "id":
				ids[attr.Value] = true
			case name == "style", strings.HasPrefix(name, "on"):
				t.Errorf("an attribute %s", name)
			case name == "src", name == "href" && !regexp.MustCompile(`^(#|/|https://www\.rfc-editor\.org/|data:image/svg)`).MatchString(attr.Value):
				t.Errorf("something from elsewhere: %q", attr.Value)
			}
		}
	}
}

// Every world of the golden files makes a well-formed page.
func TestPagesAreWellFormed(t *testing.T) {
	for _, world := range worlds {
		t.Run(world.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *stage) {
				world.set(s)
				fields := strings.Fields(world.args)
				domain := fields[len(fields)-1]
				w := s.web()
				resp := request(w, "GET", "/", func(r *http.Request) { r.URL.RawQuery = "domain=" + strings.ReplaceAll(domain, "\x1b", "%1b") })
				page := body(t, resp)
				wellFormed(t, page)
				var r diagnose.Report
				api := request(w, "GET", apiPath, func(r *http.Request) { r.URL.RawQuery = "domain=" + strings.ReplaceAll(domain, "\x1b", "%1b") })
				if err := json.NewDecoder(api.Body).Decode(&r); err != nil {
					t.Fatal(err)
				}
				for _, f := range r.Findings {
					if strings.Count(page, "<code>"+string(f.Code)+"</code>") != 1 {
						t.Errorf("the page has %d times %s", strings.Count(page, "<code>"+string(f.Code)+"</code>"), f.Code)
					}
				}
				if title := "</span> " + r.Verdict.Title + "</h2>"; !strings.Contains(page, title) {
					t.Errorf("the page lacks %q", title)
				}
			})
		})
	}
}

func TestMarkupIsEscaped(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		evil := `"><script>alert(1)</script><img src=x onerror='alert(2)'>` + "`{{.}}</style></pre>"
		s.DNS.Set("_mta-sts.example.com", resolver.Records{TXT: []string{"v=STSv1; id=1; " + evil, evil, "v=STSv1; id=2;" + evil}})
		s.SetPolicyHost("example.com", mtaststest.PolicyHost{Header: http.Header{"Content-Type": {"text/plain"}, "Server": {evil}},
			Body: "version: STSv1\nmode: " + evil + "\nmx: " + evil + "\n" + evil + ": x\nmax_age: 86400" + evil + "\n"})
		s.mx("example.com", mtaststest.MX{Replies: mtaststest.Replies{"EHLO": "550 " + evil}}, "mx.example.com")
		s.DNS.Set("_smtp._tls.example.com", resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:" + evil}})
		for _, domain := range []string{"example.com", "%22%3E%3Cscript%3E"} {
			page := body(t, request(s.web(), "GET", "/?domain="+domain, nil))
			for _, bad := range []string{"<script", "<img", "onerror='"} {
				if strings.Contains(page, bad) {
					t.Errorf("the page of %s has %q", domain, bad)
				}
			}
			if !strings.Contains(page, "&lt;script&gt;") {
				t.Errorf("the page of %s does not show the text:\n%s", domain, page)
			}
			wellFormed(t, page)
		}
	})
}

func TestClientIsLimited(t *testing.T) {
	bubble(t, func(t *testing.T, s *stage) {
		w := s.web()
		ask := func(remote string) *http.Response {
			return request(w, "GET", "/?domain=example.com", func(r *http.Request) { r.RemoteAddr = remote })
		}
		for range clientBurst {
			if resp := ask("192.0.2.1:1000"); resp.StatusCode != 200 {
				t.Fatal(resp.Status)
			}
		}
		resp := ask("192.0.2.1:1001")
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "3" {
			t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
		}
		if resp := request(w, "GET", "/", nil); resp.StatusCode != 200 {
			t.Errorf("the form: %s", resp.Status)
		}
		if resp := ask("192.0.2.2:1000"); resp.StatusCode != 200 {
			t.Errorf("another client: %s", resp.Status)
		}
		time.Sleep(clientPeriod)
		if first, second := ask("192.0.2.1:1000"), ask("192.0.2.1:1000"); first.StatusCode != 200 || second.StatusCode != 429 {
			t.Errorf("after a while: %s, then %s", first.Status, second.Status)
		}
		// One IPv6 network is one client, whatever addresses it has.
		for i := range clientBurst + 1 {
			resp = ask(fmt.Sprintf("[2001:db8::%x]:1000", i+1))
		}
		if resp.StatusCode != 429 {
			t.Errorf("many addresses of a network: %s", resp.Status)
		}
		if resp := ask("[2001:db8:0:1::1]:1000"); resp.StatusCode != 200 {
			t.Errorf("another network: %s", resp.Status)
		}
	})
}

func TestClientsAreBounded(t *testing.T) {
	c := newClients()
	for i := range maxClients + 10 {
		leave, _ := c.enter(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
		leave()
	}
	if n := c.all.Len(); n != maxClients {
		t.Errorf("%d clients are counted", n)
	}
}

func TestForwardedFor(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct {
		remote    string
		forwarded []string
		proxies   []netip.Prefix
		want      string
	}{
		{"192.0.2.1:1", nil, nil, "192.0.2.1/32"},
		{"[::ffff:192.0.2.1]:1", nil, nil, "192.0.2.1/32"},
		{"[fe80::1%eth0]:1", nil, nil, "fe80::/64"},
		{"127.0.0.1:1", []string{"198.51.100.1"}, nil, "127.0.0.1/32"},
		{"192.0.2.1:1", []string{"198.51.100.1"}, proxies, "192.0.2.1/32"},
		{"127.0.0.1:1", []string{"198.51.100.1"}, proxies, "198.51.100.1/32"},
		{"127.0.0.1:1", []string{"203.0.113.9, 198.51.100.1", "10.0.0.1"}, proxies, "198.51.100.1/32"},
		{"127.0.0.1:1", []string{"2001:db8::1"}, proxies, "2001:db8::/64"},
		{"127.0.0.1:1", []string{"unknown"}, proxies, "127.0.0.1/32"},
		{"127.0.0.1:1", nil, proxies, "127.0.0.1/32"},
	} {
		r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded}}
		if got := clientOf(r, test.proxies); got.String() != test.want {
			t.Errorf("%s for %q: %s, want %s", test.remote, test.forwarded, got, test.want)
		}
	}
}

// held is a server whose diagnoses end when the channel is closed.
func held(t *testing.T) (w *web, asked *[]string, end chan struct{}) {
	end, asked = make(chan struct{}), new([]string)
	w = newWeb(&inquiry{}, nil, nil)
	w.shared.diagnose = func(ctx context.Context, domain string) *diagnose.Report {
		w.shared.mu.Lock()
		*asked = append(*asked, domain)
		w.shared.mu.Unlock()
		select {
		case <-end:
		case <-ctx.Done():
		}
		return &diagnose.Report{Asked: domain, Domain: domain}
	}
	t.Cleanup(w.shared.close)
	return w, asked, end
}

func TestOneDiagnosisForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, asked, end := held(t)
		statuses := make(chan int, 10)
		for i := range cap(statuses) {
			go func() {
				name := []string{"example.com", "EXAMPLE.com.", "[example.com]:587"}[i%3]
				resp := request(w, "GET", apiPath+"?domain="+name, func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i) })
				statuses <- resp.StatusCode
			}()
		}
		synctest.Wait()
		close(end)
		for range cap(statuses) {
			if status := <-statuses; status != 200 {
				t.Errorf("status %d", status)
			}
		}
		ask := func() { request(w, "GET", "/?domain=example.com", nil) }
		time.Sleep(sharedFor - 1)
		ask()
		if len(*asked) != 1 || (*asked)[0] != "example.com" {
			t.Errorf("diagnosed: %q", *asked)
		}
		time.Sleep(2)
		ask()
		if len(*asked) != 2 {
			t.Errorf("a minute later, diagnosed: %q", *asked)
		}
	})
}

func TestConcurrencyIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, asked, end := held(t)
		ask := func(n, client int) int {
			return request(w, "GET", fmt.Sprintf("/?domain=d%d.example", n), func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", client) }).StatusCode
		}
		for i := range maxDiagnoses {
			go ask(i, i/clientAtOnce)
		}
		synctest.Wait()
		if status := ask(100, 0); status != 429 {
			t.Errorf("a client with %d questions under way gets %d", clientAtOnce, status)
		}
		resp := request(w, "GET", "/?domain=more.example", func(r *http.Request) { r.RemoteAddr = "192.0.2.200:1" })
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "10" {
			t.Errorf("a server with %d questions under way: %s, Retry-After %q", maxDiagnoses, resp.Status, resp.Header.Get("Retry-After"))
		}
		// Whoever asks what is being answered needs no place.
		done := make(chan int)
		go func() { done <- ask(3, 200) }()
		synctest.Wait()
		close(end)
		if status := <-done; status != 200 {
			t.Errorf("status %d", status)
		}
		synctest.Wait()
		if status := ask(100, 0); status != 200 || len(*asked) != maxDiagnoses+1 {
			t.Errorf("afterwards: %d after %d diagnoses", status, len(*asked))
		}
	})
}

// A client that leaves does not end the diagnosis for which others wait.
func TestClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, asked, end := held(t)
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan error, 2)
		for _, ctx := range []context.Context{ctx, t.Context()} {
			go func() {
				_, err := w.shared.report(ctx, "example.com")
				done <- err
			}()
		}
		synctest.Wait()
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("whoever left gets %v", err)
		}
		close(end)
		if err := <-done; err != nil || len(*asked) != 1 {
			t.Errorf("the other one: %v after %d diagnoses", err, len(*asked))
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

func TestClauseLinks(t *testing.T) {
	for text, want := range map[string]string{
		"RFC 8461, Section 3.1":                        "[RFC 8461, Section 3.1](rfc8461#section-3.1)",
		"RFC 8461, Sections 3.2 and 10.2":              "[RFC 8461, Sections 3.2](rfc8461#section-3.2) and [10.2](rfc8461#section-10.2)",
		"RFC 8461, Section 2, and RFC 7672":            "[RFC 8461, Section 2](rfc8461#section-2), and [RFC 7672](rfc7672)",
		"RFC 8460, Section 3, and RFC 8461, Section 5": "[RFC 8460, Section 3](rfc8460#section-3), and [RFC 8461, Section 5](rfc8461#section-5)",
		"RFC 8461, Section 3.1, and erratum 6285":      "[RFC 8461, Section 3.1](rfc8461#section-3.1), and erratum [6285](eid6285)",
		"RFC 8461, Section 3.2, last paragraph":        "[RFC 8461, Section 3.2](rfc8461#section-3.2), last paragraph",
		"none":                                         "none",
	} {
		var got bytes.Buffer
		for _, p := range clause(text) {
			if p.URL == "" {
				got.WriteString(p.Text)
			} else {
				fmt.Fprintf(&got, "[%s](%s)", p.Text, p.URL[strings.LastIndexByte(p.URL, '/')+1:])
			}
		}
		if got.String() != want {
			t.Errorf("%q: %s, want %s", text, &got, want)
		}
	}
}

func TestMarkedColumn(t *testing.T) {
	for column, want := range map[int]marked{
		0: {Before: "abc"}, 1: {"", "a", "bc", 1}, 3: {"ab", "c", "", 3}, 4: {"abc", " ", "", 4}, 5: {Before: "abc"}, -1: {Before: "abc"},
	} {
		if got := caret("abc", column); got != want {
			t.Errorf("column %d: %+v, want %+v", column, got, want)
		}
	}
}
