//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestHarness_Attacks(t *testing.T) {
	w := newWorld(t)
	t.Run("broken policy hosts", func(t *testing.T) { brokenHosts(t, w) })
	t.Run("man in the middle", func(t *testing.T) { intruders(t, w) })
}

func brokenHosts(t *testing.T, w *world) {
	theirs := policy("enforce", 604800, "mx.attacker.test")
	if _, got := w.policyOf(t, "attacker.test"); got != theirs {
		t.Errorf("the attacker's own policy: %q", got)
	}
	for fault, want := range map[string]struct {
		status   int
		typ      string
		encoding string
		body     string // "" for the large file
	}{
		"status404": {404, "text/plain", "", theirs},
		"status500": {500, "text/plain", "", theirs},
		"redirect":  {301, "text/html", "", "<html>\r\n<head><title>301 Moved Permanently"},
		"html":      {200, "text/html", "", theirs},
		"invalid":   {200, "text/plain", "", "<html>"},
		"expired":   {200, "text/plain", "", theirs},
		"unknown":   {200, "text/plain", "", theirs},
		"misnamed":  {200, "text/plain", "", theirs},
		"large":     {200, "text/plain", "", ""},
		"bomb":      {200, "text/plain", "gzip", ""},
	} {
		domain := fault + ".test"
		if _, got := w.policyOf(t, domain); got != policy("enforce", 604800, "mx.victims.test") {
			t.Errorf("%s: policy %q", domain, got)
		}
		w.dns.replace(t, "mta-sts."+domain, "A", w.broken[fault])
		resp, body := w.get(t, "https://mta-sts."+domain+"/.well-known/mta-sts.txt",
			&tls.Config{InsecureSkipVerify: true}, "Accept-Encoding", "gzip")
		typ, encoding := resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding")
		if resp.StatusCode != want.status || typ != want.typ || encoding != want.encoding {
			t.Errorf("%s: status %d, type %q, encoding %q, want %+v", fault, resp.StatusCode, typ, encoding, want)
		}
		switch {
		case want.encoding != "":
			if len(body) > 4<<10 {
				t.Errorf("%s: %d bytes", fault, len(body))
			}
		case want.body == "":
			if len(body) <= 64<<10 {
				t.Errorf("%s: %d bytes", fault, len(body))
			}
		case !strings.HasPrefix(body, want.body):
			t.Errorf("%s: body %q", fault, body)
		}
	}
	if conn, err := net.Dial("tcp", w.broken["stopped"]+":443"); err == nil {
		conn.Close()
		t.Error("a host that is stopped answers")
	}
}

func intruders(t *testing.T, w *world) {
	ask := func(rcode dnsmessage.RCode, host byte) (*net.DNSError, error) {
		via := w.intruder(t, host, rcode)
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, via)
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, txtErr := r.LookupTXT(ctx, "_mta-sts.dropped.test.")
		_, mxErr := r.LookupMX(t.Context(), "dropped.test.")
		failure, _ := txtErr.(*net.DNSError)
		return failure, mxErr
	}
	if txt, mx := ask(dropped, 61); txt == nil || !txt.IsTimeout || mx != nil {
		t.Errorf("dropped: TXT %v, MX %v, want a time-out and an answer", txt, mx)
	}
	if txt, mx := ask(dnsmessage.RCodeRefused, 62); txt == nil || txt.IsTimeout || txt.IsTemporary || txt.IsNotFound || mx != nil {
		t.Errorf("REFUSED: TXT %v, MX %v, want a refusal and an answer", txt, mx)
	}
}
