package main

import (
	"bufio"
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// newAnswers returns answers in a world with one domain for each mode, and one whose policy
// has a wildcard.
func newAnswers(t *testing.T, dane bool) (*answers, *mtaststest.World) {
	t.Helper()
	world := mtaststest.NewWorld()
	publish := func(domain string, mode mtasts.Mode, mx ...string) {
		world.Publish(domain, "1", mtaststest.Policy(mode, time.Hour, mx...))
	}
	publish("enforce.example", mtasts.ModeEnforce, "mx.enforce.example")
	publish("testing.example", mtasts.ModeTesting, "mx.testing.example")
	publish("none.example", mtasts.ModeNone)
	publish("wild.example", mtasts.ModeEnforce, "*.mx.example")
	publish("xn--bcher-kva.example", mtasts.ModeEnforce, "mx.enforce.example")
	world.DNS.Set("wild.example", mxRecords(false, "a.mx.example", "a.b.mx.example", "other.example"))

	client := mtasts.New(&cache.Memory{}, world.Options())
	t.Cleanup(func() { client.Close() })
	a := &answers{client: client, hosts: newHosts(world.DNS, dane), testing: new(atomic.Pointer[string])}
	level := "may"
	a.testing.Store(&level)
	return a, world
}

// reply returns the reply to a query.
func reply(a *answers, query string) string {
	return string(a.answer(context.Background(), nil, query))
}

func mxRecords(authenticated bool, hosts ...string) (r resolver.Records) {
	r.Authenticated = authenticated
	for i, host := range hosts {
		r.MX = append(r.MX, net.MX{Host: host, Pref: uint16(i)})
	}
	return r
}

func TestAnswers(t *testing.T) {
	a, _ := newAnswers(t, false)
	const enforce = "OK secure match=mx.enforce.example servername=hostname"
	for query, want := range map[string]string{
		"mta-sts enforce.example":                enforce,
		"mta-sts enforce.example.":               enforce,
		"mta-sts ENFORCE.Example":                enforce,
		"mta-sts enforce.example:25":             enforce,
		"mta-sts enforce.example:smtp":           enforce,
		"mta-sts [enforce.example]":              enforce,
		"mta-sts [enforce.example]:587":          enforce,
		"mta-sts b\u00fccher.example":            enforce,
		"mta-sts B\u00dcCHER\u3002example":       enforce,
		"mta-sts wild.example":                   "OK secure match=a.mx.example servername=hostname",
		"mta-sts none.example":                   notFoundReply,
		"mta-sts testing.example":                notFoundReply,
		"mta-sts nothing.example":                notFoundReply,
		"mta-sts a/b.example":                    notFoundReply,
		"mta-sts enforce.example:0":              notFoundReply,
		"mta-sts enforce.example:no such":        notFoundReply,
		"mta-sts [enforce.example":               notFoundReply,
		"mta-sts [enforce.example]x":             notFoundReply,
		"mta-sts private/lmtp.sock":              notFoundReply,
		"mta-sts \xff.example":                   notFoundReply,
		"mta-sts":                                notFoundReply,
		"mta-sts ":                               notFoundReply,
		"postfix enforce.example":                "PERM unknown map: use mta-sts or mta-sts-tlsrpt",
		"":                                       "PERM unknown map: use mta-sts or mta-sts-tlsrpt",
		"mta-sts-tlsrpt nothing.example":         notFoundReply,
		"mta-sts-tlsrpt b\u00fccher.example:587": enforce + " policy_type=sts policy_domain=xn--bcher-kva.example mx_host_pattern=mx.enforce.example {policy_string = version: STSv1} {policy_string = mode: enforce} {policy_string = mx: mx.enforce.example} {policy_string = max_age: 3600}",
		"mta-sts-tlsrpt testing.example":         "OK may policy_type=sts policy_domain=testing.example mx_host_pattern=mx.testing.example {policy_string = version: STSv1} {policy_string = mode: testing} {policy_string = mx: mx.testing.example} {policy_string = max_age: 3600}",
	} {
		if got := reply(a, query); got != want {
			t.Errorf("%q: got\n%s, want\n%s", query, got, want)
		}
	}
}

// Unless the operator names a level, mode testing leaves that of main.cf.
func TestModeTestingDoesNotLowerTheLevel(t *testing.T) {
	a, _ := newAnswers(t, false)
	a.testing.Store(new(string))
	if got := reply(a, "mta-sts-tlsrpt testing.example"); got != notFoundReply {
		t.Error(got)
	}
}

// What can have no policy is not looked up.
func TestKeysWithoutALookUp(t *testing.T) {
	a, world := newAnswers(t, true)
	for _, key := range []string{
		".example.com", ".com", ".", "..", "localhost", "localhost.", "mailhost:587", "[mailhost]", "",
		"192.0.2.1", "[192.0.2.1]", "[192.0.2.1]:587", "[IPv6:2001:db8::1]", "[2001:db8::1]:25", "2001:db8::1",
		"private/lmtp.sock", "a b.example", "a.example:99999",
	} {
		for _, name := range []string{mapPlain, mapReport} {
			if got := reply(a, name+" "+key); got != notFoundReply {
				t.Errorf("%s %q: %s", name, key, got)
			}
		}
	}
	if n := world.DNS.Queries(""); n != 0 {
		t.Errorf("%d look-ups", n)
	}
}

// TEMP is for what is not known, and its text is one line of printable ASCII.
func TestTemp(t *testing.T) {
	a, world := newAnswers(t, false)
	world.DNS.Set("wild.example", resolver.Records{Fail: resolver.ServFail})
	if got := reply(a, "mta-sts wild.example"); !strings.HasPrefix(got, "TEMP ") || !strings.Contains(got, "MX look-up") {
		t.Error(got)
	}
	a.client.Close()
	if got := reply(a, "mta-sts enforce.example"); !strings.HasPrefix(got, "TEMP ") || strings.ContainsAny(got, "\r\n") {
		t.Error(got)
	}
	if a.counts.temp.Load() != 2 {
		t.Error(a.counts.temp.Load())
	}
}

// A first look-up of a domain takes at most answerLimit, and its result is there later.
func TestASlowDomainIsDeferredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, world := newAnswers(t, false)
		world.SetPolicyHost("enforce.example", mtaststest.PolicyHost{
			Body: mtaststest.Policy(mtasts.ModeEnforce, time.Hour, "mx.enforce.example"), Delay: 40 * time.Second})
		conn, _, ended := startSession(a.answer)
		start := time.Now()
		if got := ask(t, conn, bufio.NewReader(conn), "mta-sts enforce.example"); !strings.HasPrefix(got, "TEMP ") || time.Since(start) != answerLimit {
			t.Errorf("%s after %v", got, time.Since(start))
		}
		conn.Close()
		<-ended
		<-time.After(time.Minute)
		if got := reply(a, "mta-sts enforce.example"); !strings.HasPrefix(got, "OK secure ") {
			t.Error(got)
		}
		a.client.Close()
	})
}

func TestDANEComesFirst(t *testing.T) {
	usable := []resolver.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 32)}}
	const secure = "OK secure match=mx.enforce.example servername=hostname"
	const temp = "TEMP "
	for what, c := range map[string]struct {
		mx, address, tlsa resolver.Records
		want              string
	}{
		"usable records": {mxRecords(true, "mx.enforce.example"), resolver.Records{Authenticated: true},
			resolver.Records{TLSA: usable, Authenticated: true}, "OK dane-only"},
		"none, proven": {mxRecords(true, "mx.enforce.example"), resolver.Records{Authenticated: true},
			resolver.Records{Authenticated: true}, secure},
		"a PKIX usage": {mxRecords(true, "mx.enforce.example"), resolver.Records{Authenticated: true},
			resolver.Records{TLSA: []resolver.TLSA{{Usage: 1, Selector: 1, Matching: 1, Data: make([]byte, 32)}}, Authenticated: true}, secure},
		"a short digest": {mxRecords(true, "mx.enforce.example"), resolver.Records{Authenticated: true},
			resolver.Records{TLSA: []resolver.TLSA{{Usage: 3, Matching: 2, Data: make([]byte, 32)}}, Authenticated: true}, secure},
		// Postfix would deliver to no host under "dane-only".
		"an insecure MX record": {mxRecords(false, "mx.enforce.example"), resolver.Records{Authenticated: true},
			resolver.Records{TLSA: usable, Authenticated: true}, secure},
		"an insecure address": {mxRecords(true, "mx.enforce.example"), resolver.Records{},
			resolver.Records{Fail: resolver.ServFail}, secure},
		"unsigned records": {mxRecords(true, "mx.enforce.example"), resolver.Records{Authenticated: true},
			resolver.Records{TLSA: usable}, secure},
		"a failed TLSA look-up": {mxRecords(true, "mx.enforce.example"), resolver.Records{Authenticated: true},
			resolver.Records{Fail: resolver.ServFail}, temp},
		"a refused TLSA look-up": {mxRecords(true, "mx.enforce.example"), resolver.Records{Authenticated: true},
			resolver.Records{Fail: resolver.Refused}, temp},
		"a failed MX look-up":          {resolver.Records{Fail: resolver.ServFail}, resolver.Records{}, resolver.Records{}, temp},
		"no address can be had":        {mxRecords(true, "mx.enforce.example"), resolver.Records{Fail: resolver.ServFail}, resolver.Records{}, temp},
		"a backup that has no DNS":     {mxRecords(true, "mx.enforce.example", "fails.example"), resolver.Records{Authenticated: true}, resolver.Records{}, secure},
		"a failure beside a record":    {mxRecords(true, "signed.example", "mx.enforce.example"), resolver.Records{Authenticated: true}, resolver.Records{Fail: resolver.ServFail}, "OK dane-only"},
		"records of an alias's target": {mxRecords(true, "mx.enforce.example"), resolver.Records{CNAME: "signed.example"}, resolver.Records{Authenticated: true}, "OK dane-only"},
		// RFC 7672, Section 2.2.2.
		"an alias of an insecure name": {mxRecords(true, "mx.enforce.example"), resolver.Records{CNAME: "insecure.example", Authenticated: true},
			resolver.Records{TLSA: usable, Authenticated: true}, "OK dane-only"},
		"an insecure alias": {mxRecords(true, "mx.enforce.example"), resolver.Records{CNAME: "insecure.example"},
			resolver.Records{Fail: resolver.ServFail}, secure},
		"a null MX": {mxRecords(true, "."), resolver.Records{}, resolver.Records{}, secure},
	} {
		t.Run(what, func(t *testing.T) {
			a, world := newAnswers(t, true)
			world.DNS.Set("enforce.example", c.mx)
			world.DNS.Set("mx.enforce.example", c.address)
			world.DNS.Set("_25._tcp.mx.enforce.example", c.tlsa)
			world.DNS.Set("fails.example", resolver.Records{Fail: resolver.ServFail})
			world.DNS.Set("insecure.example", resolver.Records{})
			world.DNS.Set("_25._tcp.insecure.example", resolver.Records{Fail: resolver.ServFail})
			world.DNS.Set("signed.example", resolver.Records{Authenticated: true})
			world.DNS.Set("_25._tcp.signed.example", resolver.Records{TLSA: usable, Authenticated: true})
			for _, name := range []string{mapPlain, mapReport} {
				if got := reply(a, name+" enforce.example"); !strings.HasPrefix(got, c.want) {
					t.Errorf("%s: %s; want %s", name, got, c.want)
				}
			}
		})
	}
}

// For [host]:port the records are those of the host and the port.
func TestDANEOfASmartHost(t *testing.T) {
	a, world := newAnswers(t, true)
	world.DNS.Set("enforce.example", resolver.Records{Authenticated: true})
	world.DNS.Set("_587._tcp.enforce.example", resolver.Records{Authenticated: true,
		TLSA: []resolver.TLSA{{Usage: 2, Matching: 1, Data: make([]byte, 32)}}})
	if got := reply(a, "mta-sts [enforce.example]:submission"); got != "OK dane-only" {
		t.Error(got)
	}
	if got := reply(a, "mta-sts [enforce.example]"); !strings.HasPrefix(got, "OK secure ") {
		t.Error(got)
	}
}

// While the DNS fails, a domain is looked up every 30 seconds only.
func TestFailedLookUpsAreNotRepeatedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, world := newAnswers(t, true)
		world.DNS.Set("enforce.example", resolver.Records{Fail: resolver.ServFail})
		for range 10 {
			reply(a, "mta-sts enforce.example")
		}
		if n := world.DNS.Queries("enforce.example"); n != 1 {
			t.Errorf("%d look-ups", n)
		}
		<-time.After(failedLife)
		world.DNS.Set("enforce.example", mxRecords(false, "mx.enforce.example"))
		if got := reply(a, "mta-sts enforce.example"); !strings.HasPrefix(got, "OK secure ") {
			t.Error(got)
		}
		a.client.Close()
	})
}
