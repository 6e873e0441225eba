package delivery_test

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

func TestSecondAddressIsUsedWhenFirstRefuses(t *testing.T) {
	r := newRig(t)
	r.friendly(mx1, mtaststest.MX{})
	addrs, err := r.DNS.LookupNetIP(t.Context(), "ip", mx1)
	if err != nil {
		t.Fatal(err)
	}
	dead := netip.MustParseAddr("2001:db8::1")
	r.DNS.Set(mx1, resolver.Records{Addr: append(addrs, dead)})
	var dialled []string
	r.sender.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return r.net.Dial(ctx, network, address)
	}
	if err := r.deliver(); err != nil {
		t.Fatal(err)
	}
	r.wantMail(mx1 + " in TLS 1.3")
	if want := []string{"[2001:db8::1]:25", "192.0.2.1:25"}; !slices.Equal(dialled, want) {
		t.Errorf("dialled %q, want %q", dialled, want)
	}
}

// Each address of a host is an attempt of its own.
func TestSecondAddressIsUsedWhenTLSFailsAtFirst(t *testing.T) {
	const first, second = "first.example.net", "second.example.net"
	for _, mode := range []mtasts.Mode{mtasts.ModeEnforce, mtasts.ModeTesting} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRig(t)
			r.twoHosts()
			r.publish(mode, "1", mx1, mx2)
			r.friendly(first, mtaststest.MX{}) // the certificate is for another name
			r.friendly(mx2, mtaststest.MX{})
			r.AddMX(mx1, mtaststest.MX{})
			r.sessions[mx1] = new(atomic.Int32)
			r.serve(second, func(conn net.Conn) { r.ServeMX(conn, mx1) })
			var both []netip.Addr
			for _, host := range []string{first, second} {
				addrs, err := r.DNS.LookupNetIP(t.Context(), "ip", host)
				if err != nil {
					t.Fatal(err)
				}
				both = append(both, addrs...)
			}
			r.DNS.Set(mx1, resolver.Records{Addr: both})
			if err := r.deliver(); err != nil {
				t.Fatal(err)
			}
			if mode == mtasts.ModeEnforce {
				r.wantMail(mx1 + " in TLS 1.3")
				r.wantResults(mtasts.ResultCertificateHostMismatch, "")
			} else {
				r.wantMail(first + " in TLS 1.3")
				r.wantResults(mtasts.ResultCertificateHostMismatch)
			}
		})
	}
}

func TestHostWithoutAddressIsNotUsed(t *testing.T) {
	r := newRig(t)
	r.twoHosts()
	r.friendly(mx2, mtaststest.MX{})
	if err := r.deliver(); err != nil {
		t.Fatal(err)
	}
	r.wantMail(mx2 + " in TLS 1.3")
}

func TestMXRecords(t *testing.T) {
	t.Run("null MX", func(t *testing.T) {
		r := newRig(t)
		r.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: "."}}})
		if err := r.deliver(); !isRejected(err) {
			t.Errorf("Deliver: %v, want a rejection", err)
		}
	})
	t.Run("neither MX nor address", func(t *testing.T) {
		r := newRig(t)
		r.DNS.Set(domain, resolver.Records{})
		if err := r.deliver(); !isRejected(err) {
			t.Errorf("Deliver: %v, want a rejection", err)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		r := newRig(t)
		r.DNS.Set(domain, resolver.Records{Fail: resolver.ServFail})
		r.wantDeferred(r.deliver())
	})
	t.Run("implicit MX", func(t *testing.T) {
		r := newRig(t)
		r.publish(mtasts.ModeEnforce, "1", domain)
		r.friendly(domain, mtaststest.MX{})
		if err := r.deliver(); err != nil {
			t.Fatal(err)
		}
		r.wantMail(domain + " in TLS 1.3")
	})
	t.Run("implicit MX that is not in the policy", func(t *testing.T) {
		r := newRig(t)
		r.publish(mtasts.ModeEnforce, "1", mx1)
		r.friendly(domain, mtaststest.MX{})
		r.wantHeld(r.deliver(), mtasts.ResultValidationFailure)
		r.wantMail()
	})
}
