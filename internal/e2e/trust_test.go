//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mtasts/go-mtasts/mtasts"
)

// The attacker controls the DNS and the network of the policy host. He publishes his own MX
// host, which has a valid certificate, and tries to get the policy dropped. A sender that has
// the policy in its store defers the mail. A sender with an empty store delivers: this shows
// that the stored policy made the difference.
func TestCachedPolicyOutlivesAttacks(t *testing.T) {
	w := newWorld(t)
	set := func(typ string, contents ...string) func(*testing.T, string) {
		return func(t *testing.T, domain string) { w.dns.replace(t, "_mta-sts."+domain, typ, contents...) }
	}
	servfail := func(t *testing.T, domain string) {
		set("TXT")(t, domain)
		set("CNAME", "_mta-sts."+domain)(t, domain)
	}
	onTheWay := func(*testing.T, string) {} // the intruder does it
	newID := func(t *testing.T, domain string) {
		fault, _, _ := strings.Cut(domain, ".")
		w.dns.replace(t, "mta-sts."+domain, "A", w.broken[fault])
		set("TXT", txt("v=STSv1; id=2;"))(t, domain)
	}

	for _, attack := range []struct {
		what   string
		label  string
		happen func(t *testing.T, domain string)
		dns    string        // the DNS server of the sender during the attack
		result mtasts.Result // what is reported about the policy
		reason string
	}{
		// This comes first, since each look-up takes 10 seconds.
		{"queries without an answer", "dropped", onTheWay, w.intruder(t, 61, dropped),
			mtasts.ResultPolicyFetchError, "dns-failure"},
		{"REFUSED", "refused", onTheWay, w.intruder(t, 62, dnsmessage.RCodeRefused),
			mtasts.ResultPolicyFetchError, "dns-failure"},
		{"SERVFAIL", "servfail", servfail, w.dns.addr,
			mtasts.ResultPolicyFetchError, "dns-failure"},
		{"NXDOMAIN", "norecord", set("TXT"), w.dns.addr,
			mtasts.ResultPolicyFetchError, "no-txt-record"},
		{"two TXT records", "tworecords", set("TXT", txt("v=STSv1; id=1;"), txt("v=STSv1; id=2;")), w.dns.addr,
			mtasts.ResultPolicyInvalid, mtasts.ReasonRecordsMany},

		{"a new id and 404", "status404", newID, w.dns.addr, mtasts.ResultPolicyFetchError, "not-a-policy-file"},
		{"a new id and 500", "status500", newID, w.dns.addr, mtasts.ResultPolicyFetchError, "not-a-policy-file"},
		{"a new id and 301", "redirect", newID, w.dns.addr, mtasts.ResultPolicyFetchError, "not-a-policy-file"},
		{"a new id and HTML", "html", newID, w.dns.addr, mtasts.ResultPolicyFetchError, "not-a-policy-file"},
		{"a new id and a file too large", "large", newID, w.dns.addr, mtasts.ResultPolicyFetchError, "not-a-policy-file"},
		{"a new id and a file too large once unpacked", "bomb", newID, w.dns.addr, mtasts.ResultPolicyFetchError, "not-a-policy-file"},
		{"a new id and no policy in the file", "invalid", newID, w.dns.addr, mtasts.ResultPolicyInvalid, "policy-invalid"},
		{"a new id and no policy host", "stopped", newID, w.dns.addr, mtasts.ResultPolicyFetchError, "connect-failed"},
		{"a new id and an expired certificate", "expired", newID, w.dns.addr, mtasts.ResultWebPKIInvalid, "certificate-expired"},
		{"a new id and a certificate of another CA", "unknown", newID, w.dns.addr, mtasts.ResultWebPKIInvalid, "unknown-authority"},
		{"a new id and a certificate for another name", "misnamed", newID, w.dns.addr, mtasts.ResultWebPKIInvalid, "certificate-host-mismatch"},
	} {
		t.Run(attack.what, func(t *testing.T) {
			t.Parallel()
			domain := attack.label + ".test"
			cached, empty := w.sender(t), w.sender(t)
			cached.send(t, "before@"+domain).delivered(t, "mx.victims.test", "TLSv1.3")

			w.dns.replace(t, domain, "MX", "10 mx.attacker.test.")
			attack.happen(t, domain)
			cached.dns, empty.dns = attack.dns, attack.dns

			t.Run("policy in the store", func(t *testing.T) {
				t.Parallel()
				known := under(domain, mtasts.ModeEnforce, "1")
				cached.send(t, "after@"+domain).deferred(t).
					sessions(t, known.session("mx.attacker.test", mtasts.ResultValidationFailure, "mx-not-listed")).
					policyTrouble(t, known.policy(attack.result, attack.reason))
			})
			t.Run("empty store", func(t *testing.T) {
				t.Parallel()
				empty.send(t, "empty@"+domain).delivered(t, "mx.attacker.test", "TLSv1.3").sessions(t)
			})
		})
	}

	// The attacker can also take over the address of a listed MX host.
	t.Run("NXDOMAIN, and the MX host has an address of the attacker", func(t *testing.T) {
		t.Parallel()
		const domain, host = "ipv6.example", "mx.ipv6.example"
		s := w.sender(t)
		s.send(t, "before@"+domain).delivered(t, host, "TLSv1.3")
		w.dns.replace(t, "_mta-sts."+domain, "TXT")
		w.dns.replace(t, host, "AAAA")
		known := under(domain, mtasts.ModeEnforce, "1")

		w.dns.replace(t, host, "A", w.mxAddr["mx.attacker.test"])
		s.send(t, "misled@"+domain).deferred(t).
			sessions(t, known.session(host, mtasts.ResultCertificateHostMismatch, ""))

		w.dns.replace(t, host, "A", w.mxAddr["mx.plain.example"])
		s.send(t, "stripped@"+domain).deferred(t).
			sessions(t, known.session(host, mtasts.ResultSTARTTLSNotSupported, "starttls-not-offered"))
	})
}
