package sts_test

import (
	"errors"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// "compliant senders MUST treat the smart host domain as the policy domain",
// in whichever form the smart host is configured.
func TestRFC8461_3_4_SmartHostIsThePolicyDomain(t *testing.T) {
	for hop, want := range map[string]string{
		"relay.example":            "relay.example",
		"RELAY.Example":            "relay.example",
		"relay.example.":           "relay.example",
		"relay.example:587":        "relay.example",
		"relay.example.:587":       "relay.example",
		"[relay.example]":          "relay.example",
		"[relay.example.]":         "relay.example",
		"[RELAY.example]:25":       "relay.example",
		"[relay.example]:587":      "relay.example",
		"relay.example:submission": "relay.example",
		"[relay.example]:SMTPS":    "relay.example",
		"b\u00fccher.example":      "xn--bcher-kva.example",
		"[b\u00fccher.example]:25": "xn--bcher-kva.example",
		"b\u00fccher.example:25":   "xn--bcher-kva.example",
		"localhost":                "localhost",
	} {
		if got, err := sts.PolicyDomain(hop); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", hop, got, err, want)
		}
	}
}

// "This specification does not provide a means of associating policies with
// email addresses that employ Address Literals."
func TestRFC8461_3_4_AddressLiteralsHaveNoPolicy(t *testing.T) {
	for _, hop := range []string{
		"[192.0.2.1]", "[192.0.2.1]:25", "[IPv6:2001:db8::1]", "[ipv6:2001:DB8::1]", "[IPv6:2001:db8::1]:25",
		"[2001:db8::1]", "[2001:db8::1]:587", "[IPv6:::ffff:192.0.2.1]", "[::1]",
	} {
		if got, err := sts.PolicyDomain(hop); !errors.Is(err, sts.ErrLiteral) || got != "" {
			t.Errorf("%q: got %q, %v", hop, got, err)
		}
	}
	for _, hop := range []string{"relay.example", "[relay.example]:25", "192.0.2.1", ""} {
		if _, err := sts.PolicyDomain(hop); errors.Is(err, sts.ErrLiteral) {
			t.Errorf("%q is no address literal", hop)
		}
	}
}

// "When sending mail to a mailbox at a subdomain, compliant senders MUST NOT
// attempt to fetch a policy from the parent zone."
func TestRFC8461_3_4_NoPolicyOfTheParentZone(t *testing.T) {
	for _, domain := range []string{"mail.example.com", "a.b.c.example.com", "_mta-sts.example.com", "www.example.co.uk"} {
		if got, err := sts.PolicyDomain(domain); err != nil || got != domain {
			t.Errorf("%s: got %q, %v", domain, got, err)
		}
	}
}

// Anything else is an error. Otherwise a caller's mistake would look like a domain without
// a policy.
func TestPolicyDomainRejectsInvalidNextHops(t *testing.T) {
	for _, hop := range []string{
		"", ".", ":", ":25", "[", "]", "[]", "[]:25", "[relay.example", "relay.example]", "relay.example]:25", "[[relay.example]]",
		"relay.example:", "relay.example:0", "relay.example:65536", "relay.example:+25", "relay.example:-25", "[relay.example]:",
		"[192.0.2.1]x", "[192.0.2.1]:", "[192.0.2.1]:0", "[192.0.2.1]:65536", "[192.0.2.1", "[IPv6:]", "[IPv6:2001:db8::1]x",
		"[relay.example]25", "[relay.example]x:25", "x[relay.example]:25", "192.0.2.1", "192.0.2.1:25", "2001:db8::1",
		"a/b", "user@example.com", "[user@example.com]", "*.example.com", "example..com", "exa mple.com", "example.com\n", "example.com\x00",
		"https://example.com", "\xff.example", "[\xff.example]:25", "-a.example", "b\u00fccher\u2028.example",
	} {
		got, err := sts.PolicyDomain(hop)
		if err == nil || errors.Is(err, sts.ErrLiteral) {
			t.Errorf("%q: got %q, %v", hop, got, err)
			continue
		}
		checkSyntaxError(t, err)
	}
}
