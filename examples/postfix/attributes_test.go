package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
)

func TestSecureReply(t *testing.T) {
	dns := []string{"mx1.example.net", "MX2.example.net.", "mx2.example.net", "a.b.example.net", "mx.other.example"}
	for what, c := range map[string]struct {
		patterns, want []string
	}{
		"names":                   {[]string{"mx1.example.net", "mx9.example.net"}, []string{"mx1.example.net", "mx9.example.net"}},
		"no name":                 {[]string{"a..example", "a.", ".", "", "a", "mx1.example.net"}, []string{"mx1.example.net"}},
		"a wildcard is one label": {[]string{"*.example.net"}, []string{"mx1.example.net", "mx2.example.net"}},
		"deeper":                  {[]string{"*.b.example.net"}, []string{"a.b.example.net"}},
		"both":                    {[]string{"mx9.example.net", "*.example.net"}, []string{"mx9.example.net", "mx1.example.net", "mx2.example.net"}},
		"both, the same":          {[]string{"mx1.example.net", "*.example.net"}, []string{"mx1.example.net", "mx2.example.net"}},
		"no host is listed":       {[]string{"*.example.org"}, []string{nothingListed}},
		// Postfix gives these words a meaning of their own.
		"hostname":           {[]string{"hostname", "nexthop", "dot-nexthop", "mx1.example.net"}, []string{"mx1.example.net"}},
		"only hostname":      {[]string{"hostname"}, []string{nothingListed}},
		"any depth":          {[]string{".example.net"}, []string{nothingListed}},
		"another attribute":  {[]string{"a.example,tafile=/etc/passwd", "a.example:hostname", "a.example{b"}, []string{nothingListed}},
		"an asterisk inside": {[]string{"*", "a.*.example.net", "*.*.example.net"}, []string{nothingListed}},
	} {
		p := &mtasts.Policy{Domain: "example.com", Mode: mtasts.ModeEnforce, MX: c.patterns}
		got, err := parsePolicy(string(appendSecure(nil, p, dns)), false)
		if err != nil || got.level != "secure" || got.sni != "hostname" || !slices.Equal(got.match, c.want) {
			t.Errorf("%s: %+v, %v; want match %q", what, got, err, c.want)
		}
	}
}

func TestReportReply(t *testing.T) {
	p := &mtasts.Policy{
		Domain: "example.com", Mode: mtasts.ModeEnforce,
		MX: []string{"mx1.example.net", "*.example.net", "hostname", "b,c=d"},
		Text: "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.net\r\nmx: *.example.net\r\n" +
			"mx: hostname\r\nmx: b,c=d\r\nnote: a {\r\nnote: } policy_failure=validation-failure\r\nnote: \xff\r\n\r\nmax_age: 86400\r\n",
	}
	text := string(appendReport(appendSecure(nil, p, nil), p))
	got, err := parsePolicy(text, true)
	want := tlsPolicy{
		level: "secure", match: []string{"mx1.example.net"}, sni: "hostname", kind: "sts", domain: "example.com",
		mx: []string{"mx1.example.net", "*.example.net"},
		strings: []string{"version: STSv1", "mode: enforce", "mx: mx1.example.net", "mx: *.example.net",
			"mx: hostname", "mx: b,c=d", "max_age: 86400"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n%+v, %v; want\n%+v", text, got, err, want)
	}
	if _, err := parsePolicy(text, false); err == nil {
		t.Error("Postfix before 3.10 takes no such attributes: the parser of this test is wrong")
	}
	if got, err := parsePolicy(string(appendReport([]byte("OK may"), p)), true); err != nil || got.level != "may" || got.match != nil {
		t.Errorf("mode testing: %+v, %v", got, err)
	}
}

// Postfix 3.10.5 compares the names of MX hosts with the patterns. So each pattern that covers
// a host of match= is there.
func TestPatternsOfATopLevelDomain(t *testing.T) {
	p := &mtasts.Policy{Domain: "example.com", Mode: mtasts.ModeEnforce, MX: []string{"mx.example.net", "*.corp", "*.", "*", "*.*.corp"}}
	got, err := parsePolicy(string(appendReport(appendSecure(nil, p, []string{"mail.corp"}), p)), true)
	if err != nil || !slices.Equal(got.match, []string{"mx.example.net", "mail.corp"}) || !slices.Equal(got.mx, []string{"mx.example.net", "*.corp"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A policy that would make the reply longer than Postfix accepts is enforced all the same.
func TestALongPolicyIsEnforced(t *testing.T) {
	p := &mtasts.Policy{Domain: "example.com", Mode: mtasts.ModeEnforce}
	for i := 0; len(p.Text) < 64_000; i++ {
		p.MX = append(p.MX, fmt.Sprintf("m%d.example", i))
		p.Text += "mx: " + p.MX[i] + "\n"
	}
	text := string(appendReport(appendSecure(nil, p, nil), p))
	got, err := parsePolicy(text, true)
	if err != nil || len(got.match) != len(p.MX) || len(text) > maxReply {
		t.Errorf("%d octets, %d names of %d: %v", len(text), len(got.match), len(p.MX), err)
	}
}

// Whatever a publisher writes, Postfix reads the attributes that the server means, and no
// MX host passes that the policy does not list.
func FuzzAttributes(f *testing.F) {
	f.Add("example.net\n*.example.net", "mx: *.example.net\nmax_age: 1", "mx.example.net")
	f.Add("hostname", "note: {\nnote: }", "hostname")
	f.Add("a.b} match=hostname", "x} {policy_failure = y", ".a.b")
	f.Fuzz(func(t *testing.T, patterns, text, mx string) {
		p := &mtasts.Policy{Domain: "example.com", Mode: mtasts.ModeEnforce, MX: strings.Split(patterns, "\n"), Text: text}
		hosts := strings.Split(mx, "\n")
		secure := string(appendSecure(nil, p, hosts))
		for _, level := range []string{strings.TrimPrefix(secure, "OK "), "may"} {
			got, err := parsePolicy(string(appendReport([]byte("OK "+level), p)), true)
			if err != nil {
				t.Fatalf("%q: %v", string(appendReport([]byte("OK "+level), p)), err)
			}
			if got.kind != "sts" && len(text)+len(patterns) < 1000 || got.domain != "example.com" && got.kind == "sts" {
				t.Errorf("type %q, domain %q", got.kind, got.domain)
			}
		}
		got, err := parsePolicy(secure, false)
		if err != nil || got.level != "secure" || got.sni != "hostname" || len(got.match) == 0 {
			t.Fatalf("%q: %+v, %v", secure, got, err)
		}
		for _, name := range got.match {
			if name == nothingListed {
				continue
			}
			if !strings.Contains(name, ".") || name[0] == '.' {
				t.Errorf("%q is no name to Postfix", name)
			}
			if !slices.Contains(p.MX, name) && len(listed(p, []string{name})) == 0 {
				t.Errorf("match has %q, which %q does not list", name, p.MX)
			}
		}
	})
}
