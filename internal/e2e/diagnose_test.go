//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/resolver"
)

// TestDiagnose diagnoses every domain of the world with its MX hosts. The verdict is that of
// a client, and the findings are exactly what is wrong.
func TestDiagnose(t *testing.T) {
	w := newWorld(t)
	s := &setup{T: t, world: w}
	opts := &diagnose.Options{
		Resolver:  resolver.System{Server: w.dns.addr},
		RootCAs:   w.ca.Pool(),
		AllowNets: []netip.Prefix{w.net, netip.MustParsePrefix("::1/128")},
		Probe:     true,
	}

	// As set up: the publishers come out clean, or with the finding that they deserve.
	want := map[string]string{
		"nmrc.org":          "mode-testing tlsrpt-misplaced",
		"nethence.com":      "max-age-week mode-testing",
		"pages.example":     "mode-testing pattern-unused tlsrpt-missing",
		"example.edu":       "host-certificate-name", // the delegation that the certificate does not know
		"plain.example":     "mail-held mx-no-starttls",
		"refusing.example":  "mail-held mx-no-starttls",
		"tls11.example":     "mail-held mx-tls-old",
		"untrusted.example": "mail-held mx-certificate-untrusted",
		"expired.example":   "mail-held mx-certificate-expired",
		"misnamed.example":  "mail-held mx-certificate-name",
		"two.example":       "mx-not-listed",
		"absent.example":    "mx-none record-missing",
	}
	domains := append(w.domains(t), "absent.example")
	for way := range lengthlessWays() {
		for minor := 2; minor <= 3; minor++ {
			domain := lengthlessDomain(way, minor)
			domains, want[domain] = append(domains, domain), "mx-none"
		}
	}
	w.diagnoses(t, "as set up", opts, domains, want)

	// Then with each fault of a policy host, and with those that only the DNS or the file has.
	want = map[string]string{
		"status404.test": "answer-not-found",
		"status500.test": "answer-status",
		"redirect.test":  "answer-redirect",
		"html.test":      "answer-media-type",
		"invalid.test":   "answer-html",
		"expired.test":   "host-certificate-expired",
		"unknown.test":   "host-certificate-untrusted",
		"misnamed.test":  "host-certificate-name",
		"large.test":     "answer-too-large",
		"bomb.test":      "answer-too-large",
		"stopped.test":   "host-unreachable",
	}
	for fault, addr := range w.broken {
		w.dns.replace(t, "mta-sts."+fault+".test", "A", addr)
	}
	sites := []vhost{}
	web := w.addr(82)
	site := func(domain, directives string) {
		name := "mta-sts." + domain
		sites = append(sites, vhost{addr: web, names: []string{name}, certs: []string{s.cert(name)}, directives: directives})
		w.dns.replace(t, name, "A", web)
	}
	record := func(domain string, txts ...string) { w.dns.replace(t, "_mta-sts."+domain, "TXT", txts...) }
	file := func(domain, text string) { write(t, w.policyFile(domain), text) }
	good := policy("enforce", 604800, "mx.victims.test")

	record("norecord.test")
	want["norecord.test"] = "policy-unannounced"
	record("tworecords.test", txt("v=STSv1; id=1;"), txt("v=STSv1; id=2;"))
	want["tworecords.test"] = "record-many"
	record("servfail.test")
	w.dns.replace(t, "_mta-sts.servfail.test", "CNAME", "_mta-sts.servfail.test")
	want["servfail.test"] = "record-dns-failure"
	record("refused.test", `"\"v=STSv1; id=1;\""`)
	want["refused.test"] = "record-near-miss"
	record("dropped.test", `"v=STSv1\\; id=1\\;"`)
	want["dropped.test"] = "record-near-miss"
	record("offline.test")
	w.dns.replace(t, "_mta_sts.offline.test", "TXT", txt("v=STSv1; id=1;"))
	want["offline.test"] = "record-wrong-name"
	record("several.test", txt("v=STSv1; id=2026-01-01;"))
	want["several.test"] = "record-invalid"
	record("moved.test")
	w.dns.replace(t, "_mta-sts.moved.test", "CNAME", "_mta-sts.provider.test.")
	want["moved.test"] = "record-alias-dangling"
	w.dns.replace(t, "mta-sts.optout.test", "A")
	want["optout.test"] = "host-missing"
	w.dns.replace(t, "mta-sts.once.test", "A", "10.0.0.1")
	want["once.test"] = "host-not-public"
	site("brief.test", `if ($http_user_agent !~ Mozilla) { return 403; } `+fmt.Sprintf("return 200 %q;", good))
	want["brief.test"] = "answer-bot-check"
	site("rechecked.test", `add_header Age 86400; `+fmt.Sprintf("return 200 %q;", good))
	want["rechecked.test"] = "answer-stale"
	w.dns.replace(t, "sub.attacker.test", "MX", "10 mx.attacker.test.")
	want["sub.attacker.test"] = "record-at-parent"
	w.dns.replace(t, "attacker.test", "MX", "10 in.mx.attacker.test.")
	w.dns.replace(t, "in.mx.attacker.test", "A", w.mxAddr["mx.attacker.test"])
	file("attacker.test", policy("enforce", 3600, "*.attacker.test", "mx.attacker.test", "192.0.2.1"))
	want["attacker.test"] = "mail-held max-age-short mx-certificate-name mx-not-listed mx-pattern-odd pattern-unused"

	w.dns.replace(t, "naut.ca", "MX", "10 mx.attacker.test.") // forged, perhaps
	want["naut.ca"] = "mail-held mx-not-listed pattern-unused"
	file("nmrc.org", "version: STSv1\nMode: enforce\nmx: talon.nmrc.org\nmax_age: 604800\n")
	want["nmrc.org"] = "file-invalid file-key-misspelt tlsrpt-misplaced"
	file("nethence.com", policy("none", 86400))
	want["nethence.com"] = "mode-none"
	w.dns.replace(t, "example.net", "MX", "0 .")
	want["example.net"] = "mx-null"
	startNginx(t, filepath.Join(w.dir, "nginx2"), web, s.cert("fallback.example"), sites)

	w.diagnoses(t, "with faults", opts, slices.Sorted(maps.Keys(want)), want)

	t.Run("the file changes, the id does not", func(t *testing.T) {
		client := w.open(t, filepath.Join(t.TempDir(), "policies.db"), w.dns.addr, 0)
		p, err := client.PolicyFor(t.Context(), "ipv6.example")
		if err != nil {
			t.Fatal(err)
		}
		file("ipv6.example", policy("enforce", 604800, "*.ipv6.example"))
		o := *opts
		o.Cached = &mtasts.Cached{Policy: p}
		r := diagnose.Diagnose(t.Context(), "ipv6.example", &o)
		if got := findingsOf(r); got != "id-unchanged" || len(r.Findings[0].Evidence) != 2 {
			t.Errorf("%s: %+v", got, r.Findings)
		}
	})
}

// domains are those that receive mail.
func (w *world) domains(t *testing.T) []string {
	t.Helper()
	conf, err := os.ReadFile(w.mta.path("etc/main.cf"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(regexp.MustCompile(`(?m)^virtual_mailbox_domains = (.*)$`).FindSubmatch(conf)[1]))
}

func findingsOf(r *diagnose.Report) string {
	var codes []string
	for _, f := range r.Findings {
		if !slices.Contains(codes, string(f.Code)) {
			codes = append(codes, string(f.Code))
		}
	}
	slices.Sort(codes)
	return strings.Join(codes, " ")
}

// diagnoses compares the findings about each domain with want, and the verdict with what a
// new client says.
func (w *world) diagnoses(t *testing.T, name string, opts *diagnose.Options, domains []string, want map[string]string) {
	client := w.open(t, filepath.Join(t.TempDir(), "policies.db"), w.dns.addr, 0)
	t.Run(name, func(t *testing.T) {
		for _, domain := range domains {
			t.Run(domain, func(t *testing.T) {
				t.Parallel()
				r := diagnose.Diagnose(t.Context(), domain, opts)
				if got := findingsOf(r); got != want[domain] {
					t.Errorf("got %q, want %q", got, want[domain])
					for _, f := range r.Findings {
						t.Logf("%s: %s", f.Code, f.Text)
					}
				}
				sameVerdict(t, client, r)
			})
		}
	})
}

func sameVerdict(t *testing.T, client *mtasts.Client, r *diagnose.Report) {
	p, err := client.PolicyFor(t.Context(), r.Domain)
	if err != nil {
		t.Fatal(err)
	}
	cause := new(mtasts.Error)
	errors.As(p.Cause, &cause)
	v := r.Verdict
	if v.Mode != p.Mode || v.Result != string(cause.Result) || v.Reason != cause.Reason || v.Temporary != cause.Temporary {
		t.Errorf("verdict %+v, PolicyFor: %s, %v", v, p.Mode, p.Cause)
	}
	for _, mx := range r.MX {
		if _, err := p.CheckMX(mx.Host); err != nil && mx.Decision != diagnose.Hold {
			t.Errorf("%s: %s, CheckMX: %v", mx.Host, mx.Decision, err)
		}
	}
}
