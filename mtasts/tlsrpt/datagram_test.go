package tlsrpt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

// A reporter stands in for the collector of tlsrpt-reporter.
type reporter struct {
	t    *testing.T
	path string
	conn *net.UnixConn
}

func newReporter(t *testing.T) *reporter {
	t.Helper()
	dir, err := os.MkdirTemp("", "") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &reporter{t: t, path: filepath.Join(dir, "s")}
	r.listen()
	return r
}

// listen makes the socket anew, as the collector does when it starts.
func (r *reporter) listen() {
	r.t.Helper()
	os.Remove(r.path)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.path, Net: "unixgram"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.conn = conn
	r.t.Cleanup(func() { conn.Close() })
}

// next returns the next datagram, "" if none comes. It refuses what the collector dies of.
func (r *reporter) next() string {
	r.t.Helper()
	b := make([]byte, 1<<20)
	r.conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	n, err := r.conn.Read(b)
	if err != nil {
		return ""
	}
	if err := checkDatagram(b[:n]); err != nil {
		r.t.Errorf("%v: %.300q", err, b[:n])
	}
	return string(b[:n])
}

func checkDatagram(b []byte) error {
	var d struct {
		Version  *string `json:"dpv"`
		Domain   *string `json:"d"`
		Record   *string `json:"pr"`
		Policies []struct {
			Type    *int     `json:"policy-type"`
			Domain  *string  `json:"policy-domain"`
			Text    []string `json:"policy-string"`
			MXHosts []string `json:"mx-host"`
			Details []struct {
				Code   *int    `json:"c"`
				Source *string `json:"s"`
				MX     *string `json:"n"`
				HELO   *string `json:"h"`
				IP     *string `json:"r"`
				Info   *string `json:"a"`
				Reason *string `json:"f"`
			} `json:"failure-details"`
			Number *int `json:"t"`
			Failed *int `json:"f"`
		} `json:"policies"`
	}
	switch dec := json.NewDecoder(bytes.NewReader(b)); {
	case len(b) == 0:
		return errors.New("empty")
	case !utf8.Valid(b):
		return errors.New("not UTF-8")
	case b[0] != '{' || b[len(b)-1] != '}':
		return errors.New("no object")
	default:
		dec.DisallowUnknownFields()
		if err := dec.Decode(&d); err != nil || dec.More() {
			return fmt.Errorf("not one object: %w", err)
		}
	}
	if d.Version == nil || *d.Version != "1" || d.Domain == nil || *d.Domain == "" || len(d.Policies) == 0 ||
		d.Record == nil || !strings.HasPrefix(*d.Record, "v=TLSRPTv1;") {
		return errors.New("members are missing")
	}
	for _, p := range d.Policies {
		if p.Type == nil || !slices.Contains([]int{1, 2, 9}, *p.Type) || p.Domain == nil || p.Number == nil || *p.Number != len(p.Details) ||
			p.Failed == nil || *p.Failed < 0 || *p.Failed > 1 || *p.Failed == 1 && *p.Number == 0 {
			return errors.New("a malformed policy")
		}
		for _, f := range p.Details {
			if f.Code == nil || *f.Code < 201 || *f.Code > 306 || f.IP != nil && net.ParseIP(*f.IP) == nil || f.Source != nil && net.ParseIP(*f.Source) == nil {
				return errors.New("a malformed failure")
			}
		}
	}
	return nil
}

// sends returns Datagrams for example.com and example.org, which want reports.
func (r *reporter) datagrams(dns mtasts.Resolver) *tlsrpt.Datagrams {
	r.t.Helper()
	d, err := tlsrpt.NewDatagrams(r.path, dns)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(d.Close)
	return d
}

const datagramRecord = "v=TLSRPTv1;rua=mailto:tls@example.com"

func reporterDNS() *resolver.Fake {
	return &resolver.Fake{Names: map[string]resolver.Records{
		"_smtp._tls.example.com":  {TXT: []string{datagramRecord}},
		"_smtp._tls.fail.example": {Fail: resolver.ServFail},
	}}
}

func TestDatagramsAreThoseOfLibtlsrpt(t *testing.T) {
	r := newReporter(t)
	d := r.datagrams(reporterDNS())
	success, failure := events(domain)
	const head = `{"dpv":"1","d":"example.com","pr":"` + datagramRecord + `","policies":[{`
	const sts = `"policy-type":2,"policy-domain":"example.com","policy-string":["version: STSv1","mode: enforce","mx: mx.example.com","max_age: 86400"],"mx-host":["mx.example.com"]`
	const from = `"s":"2001:db8::1","n":"mx.example.com","h":"mx.example.com","r":"192.0.2.25"`
	fetch := mtasts.Event{Kind: mtasts.EventPolicy, Domain: domain, Policy: success.Policy, Result: mtasts.ResultPolicyFetchError, Reason: "timeout"}
	none := mtasts.Event{Kind: mtasts.EventOpportunistic, Domain: domain, Policy: &mtasts.Policy{Mode: mtasts.ModeNone}}
	unfetched := none
	unfetched.Policy = &mtasts.Policy{Mode: mtasts.ModeNone, Cause: &mtasts.Error{Result: mtasts.ResultWebPKIInvalid, Reason: "self-signed"}}

	for _, test := range []struct {
		does func()
		want string
	}{
		{func() { d.Report(success) }, sts + `,"t":0,"f":0`},
		{func() { d.Report(failure) }, sts + `,"failure-details":[{"c":203,` + from + `,"f":"self-signed"}],"t":1,"f":1`},
		{func() { d.Report(fetch); d.Report(success) }, sts + `,"t":0,"f":0`},
		{func() { d.Report(none) }, `"policy-type":9,"policy-domain":"example.com","t":0,"f":0`},
		{func() { d.Report(unfetched) }, `"policy-type":2,"policy-domain":"example.com","failure-details":[{"c":303,"f":"self-signed"}],"t":1,"f":1`},
		{func() {
			d.Add(tlsrpt.Outcome{Domain: domain, PolicyDomain: mx, Type: tlsrpt.TypeTLSA, Policy: "3 1 1 AB\n2 0 1 CD", Result: tlsrpt.ResultDANERequired})
		}, `"policy-type":1,"policy-domain":"mx.example.com","policy-string":["3 1 1 AB","2 0 1 CD"],"failure-details":[{"c":306}],"t":1,"f":1`},
	} {
		test.does()
		if got, want := r.next(), head+test.want+"}]}"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for result, code := range map[mtasts.Result]int{
		mtasts.ResultSTARTTLSNotSupported: 201, mtasts.ResultCertificateHostMismatch: 202, mtasts.ResultCertificateNotTrusted: 203,
		mtasts.ResultCertificateExpired: 204, mtasts.ResultValidationFailure: 205, mtasts.ResultPolicyFetchError: 301,
		mtasts.ResultPolicyInvalid: 302, mtasts.ResultWebPKIInvalid: 303, tlsrpt.ResultTLSAInvalid: 304,
		tlsrpt.ResultDNSSECInvalid: 305, tlsrpt.ResultDANERequired: 306,
	} {
		d.Add(tlsrpt.Outcome{Domain: domain, Type: tlsrpt.TypeTLSA, Result: result})
		if got := r.next(); !strings.Contains(got, fmt.Sprintf(`"c":%d}`, code)) {
			t.Errorf("%s: got %s, want code %d", result, got, code)
		}
	}
	if n := d.Dropped(); n != 0 {
		t.Errorf("%d dropped", n)
	}
}

// A socket for both families gives IPv4 addresses as those of IPv6. Postfix writes them as IPv4.
func TestAMappedAddressIsOneOfIPv4(t *testing.T) {
	mapped, plain := netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("192.0.2.1")
	outcome := tlsrpt.Outcome{Domain: domain, Type: tlsrpt.TypeTLSA, Local: mapped, Remote: mapped, Result: tlsrpt.ResultTLSAInvalid}
	r := newReporter(t)
	r.datagrams(reporterDNS()).Add(outcome)
	if got := r.next(); !strings.Contains(got, `{"c":304,"s":"192.0.2.1","r":"192.0.2.1"}`) {
		t.Errorf("got %s", got)
	}
	play(t, func(t *testing.T, r *rig) {
		r.collector.Add(outcome)
		outcome.Local, outcome.Remote = plain, plain
		r.collector.Add(outcome)
		if got := r.theReport(); len(got[0].Details) != 1 || got[0].Details[0].Count != 2 {
			t.Errorf("got %+v, want one kind of failure", got)
		}
	})
}

func TestADomainWithoutARecordGetsNoDatagram(t *testing.T) {
	r := newReporter(t)
	dns := reporterDNS()
	d := r.datagrams(dns)
	for range 3 {
		d.Add(tlsrpt.Outcome{Domain: "example.net", Type: tlsrpt.TypeNoPolicyFound})
		d.Add(tlsrpt.Outcome{Domain: "fail.example", Type: tlsrpt.TypeNoPolicyFound})
		if got := r.next(); got != "" {
			t.Errorf("got %s", got)
		}
	}
	if a, b := dns.Queries("_smtp._tls.example.net"), dns.Queries("_smtp._tls.fail.example"); a != 1 || b != 1 {
		t.Errorf("%d and %d look-ups, want one each", a, b)
	}
	if n := d.Dropped(); n != 3 {
		t.Errorf("%d dropped, want those of the domain whose record is unknown", n)
	}
}

func TestTheSocketMayComeAndGo(t *testing.T) {
	r := newReporter(t)
	d := r.datagrams(reporterDNS())
	outcome := tlsrpt.Outcome{Domain: domain, Type: tlsrpt.TypeNoPolicyFound}
	d.Add(outcome)
	first := r.next()
	r.listen()
	d.Add(outcome)
	if second := r.next(); first == "" || second != first {
		t.Errorf("got %s, then %s", first, second)
	}
	os.Remove(r.path)
	d.Add(outcome)
	d.Close()
	d.Add(outcome)
	d.Close()
	if n := d.Dropped(); n != 2 {
		t.Errorf("%d dropped, want 2", n)
	}
}

// Nobody reads the socket, or the DNS is silent. The caller notices neither.
func TestDatagramsNeverBlock(t *testing.T) {
	for name, record := range map[string]resolver.Records{
		"nobody reads": {TXT: []string{datagramRecord}}, "silent DNS": {Delay: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReporter(t)
			d := r.datagrams(&resolver.Fake{Names: map[string]resolver.Records{"_smtp._tls.example.com": record}})
			const n = 10_000
			begin := time.Now()
			for range n {
				d.Add(tlsrpt.Outcome{Domain: domain, Type: tlsrpt.TypeNoPolicyFound})
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("%d outcomes took %v", n, took)
			}
			d.Close()
			came := uint64(0)
			for r.next() != "" {
				came++
			}
			if dropped := d.Dropped(); came+dropped != n || dropped == 0 {
				t.Errorf("%d came and %d were dropped, of %d", came, dropped, n)
			}
		})
	}
}

func TestADatagramIsWholeOrNotSent(t *testing.T) {
	r := newReporter(t)
	d := r.datagrams(reporterDNS())
	// In JSON a control character takes six octets.
	d.Add(tlsrpt.Outcome{Domain: domain, Type: tlsrpt.TypeTLSA, Policy: strings.Repeat("\x01", 60_000)})
	d.Add(tlsrpt.Outcome{Domain: domain, Type: tlsrpt.TypeTLSA, Policy: "\xff\xfe", HELO: "\xff\x00", MX: strings.Repeat("é", 10_000),
		Result: mtasts.ResultValidationFailure, Reason: "\u2028"})
	if got := r.next(); !strings.Contains(got, `"c":205`) {
		t.Errorf("got %.300s", got)
	}
	if got := r.next(); got != "" || d.Dropped() != 1 {
		t.Errorf("got %.300s, %d dropped", got, d.Dropped())
	}
}

func TestNewDatagramsRefusesWhatCannotBeASocket(t *testing.T) {
	for _, path := range []string{"", strings.Repeat("x", 108)} {
		if _, err := tlsrpt.NewDatagrams(path, reporterDNS()); err == nil {
			t.Errorf("a path of %d octets is taken", len(path))
		}
	}
	if _, err := tlsrpt.NewDatagrams("/socket", nil); err == nil {
		t.Error("no resolver is taken")
	}
}
