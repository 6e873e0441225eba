package mtasts_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
)

// attempts are what a sender tells a Host of mx.example.com.
var attempts = map[string]func(*mtasts.Host){
	"success": func(h *mtasts.Host) {
		h.Verify(tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true})
	},
	"failure":  func(h *mtasts.Host) { h.AllowFallback(mtasts.ErrNoSTARTTLS) },
	"refused":  func(h *mtasts.Host) { h.AllowFallback(errors.Join(mtasts.ErrNoSTARTTLS, errors.New("454"))) },
	"canceled": func(h *mtasts.Host) { h.AllowFallback(context.Canceled) },
	"clear":    func(h *mtasts.Host) { h.Verify(tls.ConnectionState{}) },
	"nothing":  func(*mtasts.Host) {},
}

func TestAnAttemptWithoutAPolicyIsReportedOnce(t *testing.T) {
	want := map[string]mtasts.Result{"success": "", "failure": mtasts.ResultSTARTTLSNotSupported, "refused": mtasts.ResultSTARTTLSNotSupported}
	for name, attempt := range attempts {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, e *env) {
				h, err := e.policy().CheckMX("mx.example.com")
				if err != nil {
					t.Fatal(err)
				}
				h.Connection(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000}, &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 25}, "mx")
				attempt(h)
				attempt(h)
				result, any := want[name]
				events := e.Events()
				if !any {
					if len(events) != 0 {
						t.Errorf("events are %+v, want none", events)
					}
					return
				}
				if len(events) != 1 || events[0].Kind != mtasts.EventOpportunistic || events[0].Result != result || (events[0].Err == nil) != (result == "") {
					t.Fatalf("events are %+v, want one with result %q", events, result)
				}
				ev := events[0]
				if ev.Domain != domain || ev.MX != "mx.example.com" || ev.Policy.Cause == nil ||
					ev.Local != netip.MustParseAddr("192.0.2.1") || ev.Remote != netip.MustParseAddr("2001:db8::1") || ev.HELO != "mx" {
					t.Errorf("the event is %+v", ev)
				}
			})
		})
	}
}

func TestConnectionIsInTheOutcomeUnderAPolicy(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		h, err := e.policy().CheckMX("mx.example.com")
		if err != nil {
			t.Fatal(err)
		}
		h.Connection(&net.UDPAddr{IP: net.ParseIP("::1"), Port: 1}, nil, "")
		h.AllowFallback(mtasts.ErrNoSTARTTLS)
		if ev := e.events(mtasts.EventSession); len(ev) != 1 || ev[0].Local != netip.IPv6Loopback() || ev[0].Remote.IsValid() {
			t.Errorf("events are %+v", ev)
		}
	})
}

// RFC 8460, Section 3: report mails are not counted. Their policy is NoPolicy, or one made
// by hand.
func TestAnAttemptUnderNoPolicyIsNotReported(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		e.cachePolicy()
		for name, attempt := range attempts {
			for _, p := range []*mtasts.Policy{mtasts.NoPolicy(domain), {Mode: mtasts.ModeTesting}, {Mode: mtasts.ModeNone}} {
				h, err := p.CheckMX("mx.example.com")
				if err != nil {
					t.Fatal(err)
				}
				attempt(h)
				if len(e.Events()) != 0 {
					t.Errorf("%s: events are %+v", name, e.Events())
				}
			}
		}
	})
}

func TestWhereDANEAppliesThereIsAPolicy(t *testing.T) {
	play(t, func(t *testing.T, e *env) {
		attempt := func() {
			h, err := e.policy().CheckMX("mx.example.com")
			if err != nil {
				t.Fatal(err)
			}
			h.AppliedDANE()
			attempts["success"](h)
		}
		attempt()
		if len(e.Events()) != 0 {
			t.Errorf("without an MTA-STS policy: events are %+v, want none", e.Events())
		}
		// That the policy cannot be had is to be reported beside DANE, too.
		e.Publish(domain, "1", "no policy")
		e.sleep(week)
		e.policy()
		e.sleep(week)
		attempt()
		if ev := e.events(mtasts.EventOpportunistic); len(ev) != 1 {
			t.Errorf("without a policy file: events are %+v, want one", ev)
		}
		e.publish("2", "mx.example.com")
		e.AddMX("mx.example.com", mtaststest.MX{})
		e.sleep(week)
		e.policy()
		e.sleep(1)
		attempt()
		if ev := e.events(mtasts.EventSession); len(ev) != 1 {
			t.Errorf("with one: events are %+v, want one", ev)
		}
	})
}

func TestAConnectionCostsNoAllocation(t *testing.T) {
	h, err := mtasts.NoPolicy(domain).CheckMX("mx.example.com")
	if err != nil {
		t.Fatal(err)
	}
	local, remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, &net.TCPAddr{IP: net.ParseIP("2001:db8::1")}
	if n := testing.AllocsPerRun(100, func() { h.Connection(local, remote, "mx") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
