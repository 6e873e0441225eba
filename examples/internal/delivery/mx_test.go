package delivery_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
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

func TestMXRecords(t *testing.T) {
	t.Run("null MX", func(t *testing.T) {
		r := newRig(t)
		r.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: "."}}})
		if err := r.deliver(); !errors.Is(err, delivery.ErrRejected) {
			t.Errorf("Deliver: %v, want a rejection", err)
		}
	})
	t.Run("neither MX nor address", func(t *testing.T) {
		r := newRig(t)
		r.DNS.Set(domain, resolver.Records{})
		if err := r.deliver(); !errors.Is(err, delivery.ErrRejected) {
			t.Errorf("Deliver: %v, want a rejection", err)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		r := newRig(t)
		r.DNS.Set(domain, resolver.Records{Fail: resolver.ServFail})
		if err := r.deliver(); err == nil || errors.Is(err, delivery.ErrRejected) {
			t.Errorf("Deliver: %v, want a deferral", err)
		}
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
