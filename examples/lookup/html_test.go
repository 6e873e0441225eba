package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

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
				query := "?domain=" + url.QueryEscape(fields[len(fields)-1])
				w := s.web()
				page := body(t, request(w, "GET", "/"+query, nil))
				wellFormed(t, page)
				var r diagnose.Report
				if err := json.NewDecoder(request(w, "GET", apiPath+query, nil).Body).Decode(&r); err != nil {
					t.Fatal(err)
				}
				for _, f := range r.Findings {
					if n := strings.Count(page, "<code>"+string(f.Code)+"</code>"); n != 1 {
						t.Errorf("the page has %d times %s", n, f.Code)
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
