package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/internal/leak"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

var update = flag.Bool("update", false, "write what is printed to testdata")

func TestMain(m *testing.M) { leak.Main(m) }

const month = 30 * 24 * time.Hour

// A stage is a World in which example.com has nothing to mend, and a program in it.
type stage struct {
	*mtaststest.World
	t       *testing.T
	dir     string
	stdin   string
	input   io.Reader // in the place of stdin, if not nil
	width   int
	colour  bool
	context context.Context
}

func newStage(t *testing.T) *stage {
	s := &stage{World: mtaststest.NewWorld(), t: t, dir: t.TempDir(), width: 80, context: t.Context()}
	s.good("example.com")
	return s
}

// good publishes a policy for domain, with one MX host.
func (s *stage) good(domain string) {
	s.publish(domain, mtaststest.Policy(mtasts.ModeEnforce, month, "mx."+domain))
	s.mx(domain, mtaststest.MX{}, "mx."+domain)
	s.DNS.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:tlsrpt@" + domain}})
}

func (s *stage) publish(domain, policy string) { s.Publish(domain, "20000101", policy) }

func (s *stage) mx(domain string, host mtaststest.MX, names ...string) {
	var records []net.MX
	for i, name := range names {
		s.AddMX(name, host)
		records = append(records, net.MX{Host: name + ".", Pref: uint16(10 * (i + 1))})
	}
	s.DNS.Set(domain, resolver.Records{MX: records})
}

// random are the parts of an output that differ each time.
var random = regexp.MustCompile(`authority\s+[0-9a-f]{8}|"sha256":"[0-9a-f]{64}"`)

// lookup runs the program. In the arguments, @ is the directory of the stage.
func (s *stage) lookup(args ...string) (status int, stdout, stderr string) {
	s.t.Helper()
	args = append([]string{}, args...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "@", s.dir)
	}
	var out, log bytes.Buffer
	p := &program{
		stdin:  cmp.Or[io.Reader](s.input, strings.NewReader(s.stdin)),
		stdout: &screen{Writer: &out, width: s.width, colour: s.colour, terminal: s.colour},
		stderr: &screen{Writer: &log, width: s.width},
		network: diagnose.Options{Resolver: s.DNS, Transport: s.Options().Transport,
			RootCAs: s.Roots(), Dial: s.Dial},
	}
	status = p.run(s.context, args)
	clean := func(b []byte) string {
		b = random.ReplaceAllFunc(b, func(b []byte) []byte {
			return regexp.MustCompile(`[0-9a-f]{8,}`).ReplaceAllFunc(b, func(hex []byte) []byte { return bytes.Repeat([]byte("0"), len(hex)) })
		})
		return strings.ReplaceAll(string(b), s.dir, "@")
	}
	return status, clean(out.Bytes()), clean(log.Bytes())
}

// session is a run as a reader of a terminal sees it.
func (s *stage) session(args ...string) string {
	s.t.Helper()
	status, stdout, stderr := s.lookup(args...)
	command := strings.Join(append([]string{"lookup"}, args...), " ")
	return fmt.Sprintf("$ %s\n%s%s[exit status %d]\n", command, stdout, stderr, status)
}

// golden compares got with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s; after a look at the difference run the test with -update:\n%s", file, got)
	}
}

// bubble runs a test on a stage, in the first minutes of the year 2000.
func bubble(t *testing.T, test func(*testing.T, *stage)) {
	synctest.Test(t, func(t *testing.T) { test(t, newStage(t)) })
}

// worlds are domains and what is wrong with them.
var worlds = []struct {
	name string
	set  func(*stage)
	args string
}{
	{"good", func(s *stage) {}, "example.com"},
	{"good-probed", func(s *stage) {}, "-probe example.com"},
	{"smart-host", func(s *stage) {}, "[Example.COM]:587"},
	{"no-record", func(s *stage) { s.DNS.Set("_mta-sts.example.com", resolver.Records{}) }, "example.com"},
	{"two-records", func(s *stage) {
		s.DNS.Set("_mta-sts.example.com", resolver.Records{TXT: []string{"v=STSv1; id=1;", "v=spf1 -all", "v=STSv1; id=2;"}})
	}, "example.com"},
	{"record-invalid", func(s *stage) {
		s.DNS.Set("_mta-sts.example.com", resolver.Records{TXT: []string{"v=STSv1; id=2000-01-01;"}})
	}, "example.com"},
	{"servfail", func(s *stage) {
		s.DNS.Set("_mta-sts.example.com", resolver.Records{Fail: resolver.ServFail})
	}, "example.com"},
	{"not-found", func(s *stage) { s.SetPolicyHost("example.com", mtaststest.PolicyHost{Status: 404}) }, "example.com"},
	{"html", func(s *stage) {
		s.SetPolicyHost("example.com", mtaststest.PolicyHost{Header: http.Header{"Content-Type": {"text/html"}}, Body: "<!doctype html>\n<title>Hello</title>"})
	}, "example.com"},
	{"file-invalid", func(s *stage) {
		s.publish("example.com", "version: STSv1\nmode: enforced\nmx: mx.example.com\nmax_age: 1 week\n")
	}, "example.com"},
	{"mx-not-listed", func(s *stage) {
		s.publish("example.com", mtaststest.Policy(mtasts.ModeEnforce, month, "*.example.com"))
		s.mx("example.com", mtaststest.MX{}, "mx1.eu.example.com", "mx2.eu.example.com")
	}, "example.com"},
	{"mx-without-starttls", func(s *stage) { s.AddMX("mx.example.com", mtaststest.MX{NoSTARTTLS: true}) }, "-probe example.com"},
	{"mx-expired", func(s *stage) { s.AddMX("mx.example.com", mtaststest.MX{Certificate: mtaststest.Expired}) }, "-probe example.com"},
	{"testing", func(s *stage) {
		s.publish("example.com", mtaststest.Policy(mtasts.ModeTesting, time.Hour, "mx.example.com"))
		s.DNS.Set("_smtp._tls.example.com", resolver.Records{})
	}, "example.com"},
	{"hostile", func(s *stage) {
		evil := "\x1b[2J\x07\u202e\xff"
		s.DNS.Set("_mta-sts.example.com", resolver.Records{TXT: []string{"v=STSv1; id=" + evil, evil}})
		s.SetPolicyHost("example.com", mtaststest.PolicyHost{Header: http.Header{"Content-Type": {"text/plain; " + evil}}, Body: evil + strings.Repeat("x", 300)})
		s.mx("example.com", mtaststest.MX{Replies: mtaststest.Replies{"EHLO": "550 " + evil}}, "mx.example.com")
	}, "-probe example.com"},
	{"invalid-domain", func(s *stage) {}, "a\x1b[2J.example"},
	{"without", func(s *stage) {}, "without.example"},
}

func TestGolden(t *testing.T) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *stage) {
				w.set(s)
				out := s.session(strings.Split(w.args, " ")...)
				out = strings.ReplaceAll(out, "a\x1b[2J.example\n", "a\\x1b[2J.example\n") // the command line
				golden(t, w.name, out)
				for line := range strings.Lines(out) {
					if len(line) > 81 && !strings.Contains(line, " IN TXT ") { // to be copied
						t.Errorf("%d columns: %s", len(line), line)
					}
				}
				if i := strings.IndexFunc(out, func(r rune) bool { return r > '~' || r < ' ' && r != '\n' }); i >= 0 {
					t.Errorf("raw octets reach the terminal: %q", out[i:min(len(out), i+50)])
				}
			})
		})
	}
}
