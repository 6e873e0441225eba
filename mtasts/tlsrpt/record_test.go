package tlsrpt_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

// A vector is a file of testdata/record: "key: value" lines, an empty line, then the
// TXT records, one on each line as Go strings that are joined: "ab" "c"*63.
type vector struct {
	name, expect, error string
	txts                []string
}

var clause = regexp.MustCompile(`\ARFC [0-9]+, Section [0-9]+(\.[0-9]+)*\z`)

func recordVectors(tb testing.TB) (vs []vector) {
	tb.Helper()
	files, err := filepath.Glob("testdata/record/*.txt")
	if err != nil || len(files) < 60 {
		tb.Fatalf("testdata/record holds %d vectors, at least 60 are required: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		head, body, found := strings.Cut(string(text), "\n\n")
		header := make(map[string]string)
		for line := range strings.SplitSeq(head, "\n") {
			key, value, ok := strings.Cut(line, ": ")
			if !ok || !slices.Contains([]string{"clause", "expect", "error", "note"}, key) || header[key] != "" {
				tb.Fatalf("%s: malformed header line %q", file, line)
			}
			header[key] = value
		}
		if !found || !clause.MatchString(header["clause"]) || header["expect"] == "" {
			tb.Fatalf("%s: the header must name one clause and one expectation", file)
		}
		v := vector{name: strings.TrimSuffix(filepath.Base(file), ".txt"), expect: header["expect"], error: header["error"]}
		for line := range strings.Lines(body) {
			v.txts = append(v.txts, unquote(tb, strings.TrimSuffix(line, "\n")))
		}
		vs = append(vs, v)
	}
	return vs
}

func unquote(tb testing.TB, line string) string {
	tb.Helper()
	var b strings.Builder
	for rest := line; rest != ""; {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			tb.Fatalf("not a line of Go strings: %s", line)
		}
		s, err := strconv.Unquote(quoted)
		if err != nil {
			tb.Fatalf("not a Go string: %s", quoted)
		}
		word, next, _ := strings.Cut(rest[len(quoted):], " ")
		n := 1
		if word != "" {
			if n, err = strconv.Atoi(strings.TrimPrefix(word, "*")); err != nil || word[0] != '*' {
				tb.Fatalf("not a number of repetitions: %q", word)
			}
		}
		b.WriteString(strings.Repeat(s, n))
		rest = next
	}
	return b.String()
}

// verdict puts the result of a look-up into the form of the vectors.
func verdict(r *tlsrpt.Record, err error) string {
	switch {
	case err == nil:
		words := []string{"ok"}
		for _, u := range r.RUA {
			words = append(words, u.String())
		}
		return strings.Join(words, " ")
	case errors.Is(err, tlsrpt.ErrNoRecord):
		return "none"
	case errors.Is(err, tlsrpt.ErrManyRecords):
		return "many"
	case errors.Is(err, tlsrpt.ErrInvalidRecord):
		return "invalid"
	}
	return "unknown: " + err.Error()
}

func TestRecordVectors(t *testing.T) {
	for _, v := range recordVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			r, err := tlsrpt.FindRecord(v.txts)
			if got := verdict(r, err); got != v.expect {
				t.Fatalf("got %.300s, want %.300s; %v", got, v.expect, err)
			}
			if err != nil {
				checkText(t, err.Error())
				if !strings.Contains(err.Error(), v.error) {
					t.Errorf("the error %q does not say %q", err, v.error)
				}
				return
			}
			if !slices.Contains(v.txts, r.Raw) {
				t.Errorf("Raw is %q", r.Raw)
			}
		})
	}
}

// checkText checks that a text may stand in a log.
func checkText(t *testing.T, text string) {
	t.Helper()
	if len(text) > 600 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("error text of %d octets: %.700q", len(text), text)
	}
}

// RFC 8460, Section 3: the record stands at "_smtp._tls" below the policy domain.
func TestLookupTellsWhetherADomainAsksForReports(t *testing.T) {
	dns := &resolver.Fake{Names: map[string]resolver.Records{
		"_smtp._tls.example.com":           {TXT: []string{"v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@example.com"}},
		"_smtp._tls.alias.example":         {CNAME: "_smtp._tls.example.com"},
		"_smtp._tls.xn--bcher-kva.example": {TXT: []string{"v=TLSRPTv1; rua=https://example.com/"}},
		"_smtp._tls.invalid.example":       {TXT: []string{"v=TLSRPTv1; rua=a@example.com"}},
		"_smtp._tls.many.example":          {TXT: []string{"v=TLSRPTv1;", "v=TLSRPTv1;"}},
		"_smtp._tls.spf.example":           {TXT: []string{"v=spf1 -all"}},
		"_smtp._tls.fail.example":          {Fail: resolver.ServFail},
		"_smtp._tls.refused.example":       {Fail: resolver.Refused},
		"_smtp_tls.misplaced.example":      {TXT: []string{"v=TLSRPTv1; rua=mailto:m@example.com"}},
	}}
	for domain, want := range map[string]string{
		"example.com":               "ok mailto:a@example.com",
		"EXAMPLE.com.":              "ok mailto:a@example.com",
		"alias.example":             "ok mailto:a@example.com",
		"b\u00fccher.example":       "ok https://example.com/",
		"sub.example.com":           "none",
		"misplaced.example":         "none",
		"spf.example":               "none",
		"invalid.example":           "invalid",
		"many.example":              "many",
		"not a name":                "none",
		"":                          "none",
		strings.Repeat("a.", 125):   "none",
		strings.Repeat("a.", 120):   "none",
		"fail.example":              "unknown",
		"refused.example":           "unknown",
		"192.0.2.1":                 "none",
		"x\r\nv=TLSRPTv1;":          "none",
		"_smtp._tls.example.com":    "none",
		"_mta-sts.misplaced.exampl": "none",
	} {
		r, err := tlsrpt.LookupRecord(t.Context(), dns, domain)
		if got, _, _ := strings.Cut(verdict(r, err), ": "); got != want {
			t.Errorf("%q: got %s, want %s; %v", domain, got, want, err)
		}
		if err != nil {
			checkText(t, err.Error())
		}
		if dnsErr, ok := errors.AsType[*net.DNSError](err); want == "unknown" && (!ok || dnsErr.IsNotFound) {
			t.Errorf("%q: the DNS error is lost: %v", domain, err)
		}
	}
	if r, err := tlsrpt.LookupMisplaced(t.Context(), dns, "Misplaced.example"); verdict(r, err) != "ok mailto:m@example.com" {
		t.Errorf("misplaced: %v, %v", r, err)
	}
	if r, err := tlsrpt.LookupMisplaced(t.Context(), dns, "example.com"); verdict(r, err) != "none" {
		t.Errorf("not misplaced: %v, %v", r, err)
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		dns := &resolver.Fake{Names: map[string]resolver.Records{"_smtp._tls.example.com": {Delay: time.Hour}}}
		begin := time.Now()
		if r, err := tlsrpt.LookupRecord(ctx, dns, "example.com"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("after %v: %v, %v", time.Since(begin), r, err)
		}
	})
}

// written is a record with the destinations of r.
func written(r *tlsrpt.Record) string {
	var uris []string
	for _, u := range r.RUA {
		uris = append(uris, u.String())
	}
	return "v=TLSRPTv1; rua=" + strings.Join(uris, ",")
}

func FuzzRecord(f *testing.F) {
	for _, v := range recordVectors(f) {
		for _, txt := range v.txts {
			if len(txt) < 1000 {
				f.Add(txt)
			}
		}
	}
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := tlsrpt.FindRecord([]string{"x", txt})
		if err != nil {
			checkText(t, err.Error())
			if r != nil || verdict(r, err) == "many" || strings.HasPrefix(verdict(r, err), "unknown") {
				t.Errorf("%q: %v, %v", txt, r, err)
			}
			return
		}
		if r.Raw != txt || len(r.RUA) < 1 || len(r.RUA) > 10 {
			t.Errorf("%q: got %+v", txt, r)
		}
		again, err := tlsrpt.FindRecord([]string{written(r)})
		if err != nil || !slices.Equal(again.RUA, r.RUA) {
			t.Errorf("%q gives %+v, written as %q: %+v, %v", txt, r.RUA, written(r), again, err)
		}
		for _, u := range r.RUA {
			if (u.Address == "") == (u.URL == "") || strings.ContainsAny(u.String(), ",;! \t\r\n\"<>") || strings.ContainsAny(u.Address, " \t\r\n,;<>()[]\"\\\x00") {
				t.Errorf("%q: destination %+v", txt, u)
			}
		}
	})
}
