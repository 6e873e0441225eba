package diagnose_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/resolver"
)

// vectors calls test with the vectors of internal/sts of one kind, each in a World of its
// own. Its test says what their form is.
func vectors(t *testing.T, kind string, test func(t *testing.T, l *lab, body string)) {
	files, err := filepath.Glob(filepath.Join("..", "..", "internal", "sts", "testdata", kind, "*.txt"))
	if err != nil || len(files) < 60 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	l := newLabOutside()
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head, body, _ := strings.Cut(string(text), "\n\n")
			header := make(map[string]string)
			for line := range strings.SplitSeq(head, "\n") {
				key, value, _ := strings.Cut(line, ": ")
				header[key] = value
			}
			repeat := func(key string) int { n, _ := strconv.Atoi(header[key]); return max(0, n-1) }
			body = strings.Repeat(body[:strings.Index(body, "\n")+1], repeat("repeat-first-line")) + body
			if n := repeat("repeat-last-line"); n > 0 {
				body += strings.Repeat(body[strings.LastIndexByte(body[:len(body)-1], '\n')+1:], n)
			}
			if n := repeat("pad-to"); n > 0 {
				body += strings.Repeat(header["pad-with"]+strings.Repeat("x", 1-min(1, len(header["pad-with"]))), n+1-len(body))
			}
			test(t, l, body)
		})
	}
}

// newLabOutside is newLab for a test without a bubble, where nothing hangs.
func newLabOutside() *lab {
	l := newLab()
	l.opts.Probe = false
	return l
}

// unquote reads a line of Go strings, each optionally repeated.
func unquote(t *testing.T, line string) string {
	var b strings.Builder
	for line != "" {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := strconv.Unquote(quoted)
		word, rest, _ := strings.Cut(line[len(quoted):], " ")
		n := 1
		if word != "" {
			n, _ = strconv.Atoi(strings.TrimPrefix(word, "*"))
		}
		b.WriteString(strings.Repeat(s, n))
		line = rest
	}
	return b.String()
}

func TestRecordVectors(t *testing.T) {
	vectors(t, "record", func(t *testing.T, l *lab, body string) {
		var txts []string
		for line := range strings.Lines(body) {
			txts = append(txts, unquote(t, strings.TrimSuffix(line, "\n")))
		}
		l.record(txts...)
		r := l.diagnose(t)
		chosen := 0
		for _, txt := range r.Record.TXT {
			if txt.Role == diagnose.RoleChosen {
				chosen++
			}
		}
		if valid := r.Verdict.Mode == mtasts.ModeEnforce; valid != (chosen == 1) || chosen > 1 {
			t.Errorf("mode %s, and %d records chosen: %+v", r.Verdict.Mode, chosen, r.Record)
		}
	})
}

func TestPolicyVectors(t *testing.T) {
	vectors(t, "policy", func(t *testing.T, l *lab, body string) {
		l.file(body)
		r := l.diagnose(t)
		if r.File == nil {
			if r.Answer == nil || r.Answer.Error == "" {
				t.Errorf("neither a file nor a reason: %+v", r.Answer)
			}
			return
		}
		if !r.File.Valid && len(r.Findings) == 0 {
			t.Error("no finding says that the file is invalid")
		}
		for _, line := range r.File.Lines {
			if line.Column > len(line.Text)+1 || line.Used != (line.Why == "") {
				t.Errorf("line %+v", line)
			}
		}
	})
}

func TestMatchVectors(t *testing.T) {
	vectors(t, "match", func(t *testing.T, l *lab, body string) {
		quoted, patterns, _ := strings.Cut(body, "\n")
		text := "version: STSv1\nmode: enforce\nmax_age: 2592000\nmx: unrelated.invalid\n"
		for line := range strings.Lines(patterns) {
			text += "mx: " + line
		}
		mx := unquote(t, quoted)
		l.file(text)
		l.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: mx}}})
		r := l.diagnose(t)

		client := mtasts.New(new(cache.Memory), l.Options())
		defer client.Close()
		p, err := client.PolicyFor(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.CheckMX(strings.TrimSuffix(mx, ".") + ".") // as a look-up gives it
		switch {
		case len(r.MX) == 0 && (mx == "." || mx == ""):
		case len(r.MX) != 1 || (r.MX[0].Listed == diagnose.Listed) != (err == nil) || (err == nil) != (r.MX[0].Pattern != ""):
			t.Errorf("CheckMX says %v, the report %+v", err, r.MX)
		case (err == nil) != (r.MX[0].Decision == diagnose.Untested):
			t.Errorf("decision %+v", r.MX[0])
		}
	})
}

// Whatever is published, a report is bounded, and the diagnosis ends.
func TestHostile(t *testing.T) {
	bubble(t, "long and many", func(t *testing.T, l *lab) {
		junk := strings.Repeat("\x1b[2J\xff\u202e<script>", 5000)
		var txts []string
		for range 500 {
			txts = append(txts, "v=STSv1; id="+junk)
		}
		l.record(txts...)
		l.SetPolicyHost(domain, policyHost(500, junk))
		var list []net.MX
		for range 500 {
			list = append(list, net.MX{Host: junk[:100]})
		}
		l.DNS.Set(domain, resolver.Records{MX: list})
		l.DNS.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; " + junk}})
		l.diagnose(t)
	})
	bubble(t, "a file of odd lines", func(t *testing.T, l *lab) {
		l.file(strings.Repeat("mx: \xff\n", 5000) + "version: STSv1\nmode: enforce\nmax_age: 1\nmx: " + mxHost)
		r := l.diagnose(t)
		if len(r.Findings) > 100 {
			t.Errorf("%d findings", len(r.Findings))
		}
	})
	t.Run("all is silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLab()
			silent := resolver.Records{Delay: resolver.Limit}
			for _, name := range []string{domain, "_mta-sts." + domain, "_smtp._tls." + domain} {
				l.DNS.Set(name, silent)
			}
			r := l.diagnose(t)
			if r.Seconds > 120 || r.Verdict.Status == diagnose.Fine {
				t.Errorf("%v seconds, %+v", r.Seconds, r.Verdict)
			}
		})
	})
}
