//go:build e2e

package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"net"
	"net/smtp"
	"os"
	"strings"
	"testing"
)

// keyDigest returns the SHA-256 of the public key of an MX host.
func (w *world) keyDigest(t *testing.T, mx string) []byte {
	t.Helper()
	c, err := smtp.Dial(net.JoinHostPort(w.mxAddr[mx], "25"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	state, _ := c.TLSConnectionState()
	digest := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	return digest[:]
}

// With a signed zone behind a resolver that validates, DANE comes first (RFC 8461, Section
// 2).
func TestPolicyMapDANE(t *testing.T) {
	w := newWorld(t)
	dns := w.signed(t, "mail.naut.ca")
	w.tlsa(t, "mail.example.net", w.keyDigest(t, "mail.example.net"))
	w.tlsa(t, "mx.victims.test", make([]byte, 32)) // no key has this digest
	// RFC 7672, Section 2.2.2: the alias is secure, its target is not.
	w.dns.replace(t, "example.com", "MX", "10 alias.example.com")
	w.dns.replace(t, "alias.example.com", "CNAME", "mx.attacker.test")
	w.tlsa(t, "alias.example.com", w.keyDigest(t, "mx.attacker.test"))
	server, socketmap := startSocketmap(t, w, "-dns", dns, "-dane", "example")
	sender, submit := startSender(t, w, socketmap, dns)
	table := "socketmap:inet:" + socketmap + ":mta-sts"
	for domain, want := range map[string]string{
		"example.net":   "dane-only\n",
		"norecord.test": "dane-only\n",
		"example.com":   "dane-only\n",
		"two.example":   "secure match=mx.two.example servername=hostname\n", // proven: no records
	} {
		if got := sender.postmap(t, table, domain, ""); got != want {
			t.Errorf("%s: %q, want %q", domain, got, want)
		}
	}
	if log, err := os.ReadFile(server.log); err != nil || !strings.Contains(string(log), `msg="DANE is on"`) {
		t.Errorf("%v\n%s", err, log)
	}
	for domain, want := range map[string]string{
		"example.net":   "sent",
		"norecord.test": "deferred", // the certificate is good, and the policy lists the host
		"two.example":   "sent",
		"example.com":   "sent",
		"naut.ca":       "deferred", // the look-up of TLSA records fails
	} {
		to := "dane@" + domain
		submitMessage(t, submit, to)
		if status, line := sender.outcome(t, to); status != want {
			t.Errorf("%s: want %s: %s", domain, want, line)
		}
	}
}

// A resolver that does not validate turns DANE off, and the server says so.
func TestPolicyMapWithoutValidation(t *testing.T) {
	w := newWorld(t)
	server, socketmap := startSocketmap(t, w, "-dns", w.dns.addr, "-dane", "example")
	sender, _ := startSender(t, w, socketmap, w.dns.addr)
	w.dns.replace(t, "_25._tcp.mail.example.net", "TLSA", "3 1 1 "+strings.Repeat("00", 32))
	if got := sender.postmap(t, "socketmap:inet:"+socketmap+":mta-sts", "example.net", ""); !strings.HasPrefix(got, "secure ") {
		t.Error(got)
	}
	if log, err := os.ReadFile(server.log); err != nil || !strings.Contains(string(log), "DANE is off") || !strings.Contains(string(log), "does not validate") {
		t.Errorf("%v\n%s", err, log)
	}
}
