package diagnose_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/smtp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/diagnose"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// A lab is a World with one domain, example.com, that has nothing to mend, until a test
// breaks something.
type lab struct {
	*mtaststest.World
	opts   diagnose.Options
	domain string
}

const (
	domain = "example.com"
	mxHost = "mx.example.com"
	month  = 30 * 24 * time.Hour
)

func newLab() *lab {
	w := mtaststest.NewWorld()
	w.Publish(domain, "20000101", mtaststest.Policy(mtasts.ModeEnforce, month, mxHost))
	w.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: mxHost + ".", Pref: 10}}})
	w.DNS.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:tlsrpt@example.com"}})
	w.AddMX(mxHost, mtaststest.MX{})
	l := &lab{World: w, domain: domain}
	l.opts = diagnose.Options{Resolver: w.DNS, Transport: w.Options().Transport, RootCAs: w.Roots(), Probe: true, Dial: w.Dial}
	return l
}

func (l *lab) record(txts ...string) {
	l.DNS.Set("_mta-sts."+domain, resolver.Records{TXT: txts})
}

func (l *lab) file(text string) { l.SetPolicyHost(domain, mtaststest.PolicyHost{Body: text}) }

func (l *lab) policy(mode mtasts.Mode, maxAge time.Duration, mx ...string) {
	l.file(mtaststest.Policy(mode, maxAge, mx...))
}

func (l *lab) answer(status int, header ...string) {
	h := http.Header{"Content-Type": {"text/plain"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	l.SetPolicyHost(domain, mtaststest.PolicyHost{Status: status, Header: h, Body: mtaststest.Policy(mtasts.ModeEnforce, month, mxHost)})
}

// diagnose diagnoses, and checks what holds for every report.
func (l *lab) diagnose(t *testing.T) *diagnose.Report {
	t.Helper()
	r := diagnose.Diagnose(t.Context(), l.domain, &l.opts)
	checkReport(t, r)
	l.checkVerdict(t, r)
	return r
}

// bubble runs test in a synctest bubble, in which each look-up that hangs takes no time.
func bubble(t *testing.T, name string, test func(*testing.T, *lab)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, newLab()) })
	})
}

func codes(r *diagnose.Report) []diagnose.Code {
	var list []diagnose.Code
	for _, f := range r.Findings {
		if !slices.Contains(list, f.Code) {
			list = append(list, f.Code)
		}
	}
	slices.Sort(list)
	return list
}

// checkVerdict checks that the verdict is what a Client of package mtasts and a sender
// come to.
func (l *lab) checkVerdict(t *testing.T, r *diagnose.Report) {
	t.Helper()
	if l.opts.Cached != nil || slices.Contains(codes(r), "diagnosis-incomplete") {
		return
	}
	opts := l.Options()
	opts.Transport, opts.RootCAs = l.opts.Transport, l.opts.RootCAs
	client := mtasts.New(new(cache.Memory), opts)
	defer client.Close()
	v := r.Verdict
	p, err := client.PolicyFor(t.Context(), l.domain)
	if err != nil {
		if !slices.Contains(codes(r), "domain-invalid") {
			t.Errorf("PolicyFor: %v; the verdict is %+v", err, v)
		}
		return
	}
	if p.Mode != v.Mode && v.Mode != "" {
		t.Errorf("mode %q, PolicyFor has %q", v.Mode, p.Mode)
	}
	if cause, ok := errors.AsType[*mtasts.Error](p.Cause); ok && cause.Reason != mtasts.ReasonAddressLiteral {
		if string(cause.Result) != v.Result || cause.Reason != v.Reason || cause.Temporary != v.Temporary {
			t.Errorf("verdict %+v, PolicyFor has %q %q %v", v, cause.Result, cause.Reason, cause.Temporary)
		}
	} else if v.Reason != "" {
		t.Errorf("verdict %+v, PolicyFor has no cause", v)
	}
	for _, mx := range r.MX {
		// A sender does not offer the versions of TLS that a diagnosis describes.
		decision, result, reason := l.send(t, p, mx.Host)
		if mx.Probe == nil || mx.Probe.State == diagnose.Unknown || mx.Probe.State == diagnose.NotTested {
			continue
		}
		if decision != mx.Decision || decision == diagnose.Hold && (result != mx.Result || reason != mx.Reason && mx.Reason != mtasts.ReasonTLSVersion) {
			t.Errorf("%s: %q %q %q, a sender has %q %q %q", mx.Host, mx.Decision, mx.Result, mx.Reason, decision, result, reason)
		}
	}
}

// send does what a sender does at one MX host.
func (l *lab) send(t *testing.T, p *mtasts.Policy, mx string) (decision diagnose.Decision, result, reason string) {
	host, err := p.CheckMX(mx)
	if err == nil {
		err = l.session(t, host)
	}
	if violation, ok := errors.AsType[*mtasts.Error](err); ok {
		return diagnose.Hold, string(violation.Result), violation.Reason
	}
	return diagnose.Deliver, "", ""
}

func (l *lab) session(t *testing.T, host *mtasts.Host) error {
	conn, err := l.opts.Dial(t.Context(), "tcp", host.Name+":25")
	if err != nil {
		return nil
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	c, err := smtp.NewClient(conn, host.Name)
	if err != nil {
		return nil
	}
	if ok, _ := c.Extension("STARTTLS"); !ok {
		return host.AllowFallback(mtasts.ErrNoSTARTTLS)
	}
	if id, err := c.Text.Cmd("STARTTLS"); err != nil {
		return err
	} else {
		c.Text.StartResponse(id)
		defer c.Text.EndResponse(id)
	}
	if _, _, err := c.Text.ReadResponse(220); err != nil {
		return host.AllowFallback(fmt.Errorf("%w: %w", mtasts.ErrNoSTARTTLS, err))
	}
	session := tls.Client(conn, host.TLSConfig(&tls.Config{RootCAs: l.opts.RootCAs, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}))
	if err := session.Handshake(); err != nil {
		return host.AllowFallback(err)
	}
	fmt.Fprintf(session, "EHLO test\r\n")
	if _, err := session.Read(make([]byte, 100)); err != nil {
		return host.AllowFallback(err)
	}
	return host.Verify(session.ConnectionState())
}

// checkReport checks what holds for every report, whatever a domain publishes.
func checkReport(t *testing.T, r *diagnose.Report) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Title == "" || f.Text == "" || f.Effect == "" || f.Mend == "" || f.Clause == "" || f.Severity == "" || f.Step == "" {
			t.Errorf("%s lacks something: %+v", f.Code, f)
		}
		for _, text := range []string{f.Title, f.Text, f.Effect, f.Mend} {
			if placeholder.MatchString(text) {
				t.Errorf("%s is not filled in: %s", f.Code, text)
			}
		}
		for _, cause := range f.DependsOn {
			i := slices.IndexFunc(r.Findings, func(c diagnose.Finding) bool { return c.Code == cause })
			switch {
			case i < 0:
				t.Errorf("%s depends on %s, which is not there", f.Code, cause)
			case f.Severity == diagnose.Error && r.Findings[i].Severity == diagnose.Warning:
				t.Errorf("%s is worse than its cause %s", f.Code, cause)
			}
		}
		if !slices.ContainsFunc(r.Steps, func(s diagnose.Step) bool {
			return s.ID == f.Step && s.State != diagnose.Pass || f.Severity == diagnose.Notice
		}) {
			t.Errorf("%s is about %s, which has passed", f.Code, f.Step)
		}
	}
	checkText(t, r)
	for _, mx := range r.MX {
		if mx.Listed != "" && r.File == nil && r.Cached == nil || (mx.Listed == diagnose.Listed) != (mx.Pattern != "") {
			t.Errorf("listed %q by %q, without a policy", mx.Listed, mx.Pattern)
		}
	}
	if h := r.PolicyHost.TLS; h != nil && strings.HasPrefix(h.CipherSuite, "0x") {
		t.Errorf("cipher suite %s", h.CipherSuite)
	}
	if strings.TrimSpace(r.Verdict.Title) == "" || r.Verdict.Text == "" || r.Verdict.Status == "" {
		t.Errorf("verdict %+v", r.Verdict)
	}
}
