package resolver

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

// The machine's search list applies to a name without a final dot.
func TestLookupPassesTheAbsoluteName(t *testing.T) {
	for _, name := range []string{"host", "host.", "_mta-sts.example.com"} {
		lookup(t.Context(), System{}, name, func(_ *net.Resolver, _ context.Context, fqdn string) (any, error) {
			if !strings.HasSuffix(fqdn, ".") {
				t.Errorf("%q is looked up as %q", name, fqdn)
			}
			return nil, nil
		})
	}
}

// FuzzAbsolute compares the rule for names with that of package net, which sends a query
// only for names that it accepts.
func FuzzAbsolute(f *testing.F) {
	label := strings.Repeat("a", 63)
	for _, name := range []string{
		"", ".", "a", "a.", "a..", ".a", "_mta-sts.example.com", "_mta-sts.Example.COM.", "xn--bcher-kva.example", "a_b.c-d", "-a", "a-", "a.-b", "a-.b",
		"1", "1.2", "1.a", "0x1", "1-2", "1_", "192.0.2.1", "192.0.2.1.", "::1", "a b", "a\x00", "é", "x.onion", "x.ONION.", "onion", "xonion", "a.onion.b",
		label, label + "a", label + "." + label + "." + label + "." + label[:61], label + "." + label + "." + label + "." + label[:61] + ".",
		label + "." + label + "." + label + "." + label[:62], label + "." + label + "." + label + "." + label[:62] + ".",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		fqdn, err := absolute(name)
		if err == nil && (fqdn != strings.TrimSuffix(name, ".")+"." || key(name) != key(fqdn)) {
			t.Errorf("absolute(%q) = %q", name, fqdn)
		}
		if name == "" || name == "." {
			return // net asks for the root
		}
		asks := false
		r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			asks = true
			return nil, errors.New("not a network")
		}}
		r.LookupTXT(t.Context(), strings.TrimSuffix(name, ".")+".")
		if asks != (err == nil) {
			t.Errorf("absolute(%q) = %q, %v; but net asks: %v", name, fqdn, err, asks)
		}
	})
}
