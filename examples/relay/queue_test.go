package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/mtasts/tlsrpt"
	"github.com/mtasts/go-mtasts/resolver"
)

// play runs a test with a rig in a bubble.
func play(t *testing.T, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		test(t, r)
		r.close() // before the bubble ends, so that nothing of it is left
	})
}

// Each recipient has its own outcome. The message is sent once to all of one domain.
func TestRecipientsFailApart(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		h := r.addHost(mx)
		var ready atomic.Bool
		h.refuse = func(to string) error {
			switch {
			case to == "unknown@"+domain:
				return reply(550, "No such user")
			case to == "busy@"+domain && !ready.Load():
				return reply(450, "Mailbox busy")
			}
			return nil
		}
		r.accept(sender, "b@"+domain, "unknown@"+domain, "busy@"+domain, "c@"+domain)
		time.Sleep(time.Minute)
		if got := h.received(); len(got) != 1 || strings.Join(got[0].to, " ") != "b@example.com c@example.com" {
			t.Errorf("delivered %+v, want one message to b and c", got)
		}
		r.wantBounce("unknown@"+domain, "550 5.1.1", "No such user", "Remote-MTA: dns; "+mx)
		r.wantQueue("busy@" + domain)
		ready.Store(true)
		time.Sleep(10 * time.Minute)
		if got := h.received(); len(got) != 2 || strings.Join(got[1].to, " ") != "busy@example.com" {
			t.Errorf("delivered %+v, want a second message to busy", got)
		}
		r.wantQueue()
		r.wantBounce()
	})
}

// A reply decides whether a message bounces, is tried again, or is delivered.
func TestReplies(t *testing.T) {
	const bounced, deferred = "bounced", "deferred"
	for _, test := range []struct {
		verb, reply, want string
	}{
		{"MAIL", "550 5.7.1 not from you", bounced},
		{"MAIL", "451 4.7.1 later", deferred},
		{"RCPT", "550 5.1.1 unknown", bounced},
		{"RCPT", "450 4.2.0 greylisted", deferred},
		{"DATA", "554 5.6.0 no", bounced},
		{"DATA", "421 4.3.2 closing", deferred},
		{".", "554 5.7.1 spam", bounced},
		{".", "452 4.3.1 full", deferred},
		{".", mtaststest.HangUp, deferred},
	} {
		t.Run(test.verb+" "+test.reply, func(t *testing.T) {
			play(t, func(t *testing.T, r *rig) {
				r.addFaulty(mx, mtaststest.MX{TLSReplies: mtaststest.Replies{test.verb: test.reply}})
				r.accept(sender, "b@"+domain)
				time.Sleep(time.Minute)
				if test.want == bounced {
					r.wantBounce(test.reply[4:9], "b@"+domain)
					r.wantQueue()
					return
				}
				r.wantQueue("b@" + domain)
				r.AddMX(mx, mtaststest.MX{})
				time.Sleep(10 * time.Minute)
				r.wantQueue()
				if got := len(r.Mail(mx)); got != 1 {
					t.Errorf("%d messages delivered, want 1", got)
				}
			})
		})
	}
}

// RFC 5321, Section 6.1: a bounce of a bounce is never sent.
func TestNoBounceOfABounce(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.addFaulty(mx, mtaststest.MX{TLSReplies: mtaststest.Replies{"RCPT": "550 5.1.1 unknown"}})
		r.accept("", "b@"+domain)
		time.Sleep(time.Minute)
		r.wantQueue()
		if got := r.bounces.received(); len(got) > 0 || !r.log.has("dropped: it is a bounce") {
			t.Errorf("bounces: %v, want none, and a line in the log", got)
		}
	})
}

// A policy holds mail back until the publisher has corrected it.
func TestPolicyChangesWhileAMessageWaits(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		h := r.addHost(mx)
		r.publish(domain, "1", mtasts.ModeEnforce, "old."+mx)
		r.accept(sender, "b@"+domain)
		time.Sleep(2 * time.Hour)
		r.wantQueue("b@" + domain)
		if got := h.received(); len(got) > 0 {
			t.Fatal("delivered to a host that the policy does not list")
		}
		r.publish(domain, "2", mtasts.ModeEnforce, mx)
		time.Sleep(6 * time.Hour)
		r.wantQueue()
		if got := h.received(); len(got) != 1 {
			t.Errorf("%d messages delivered, want 1", len(got))
		}
	})
}

// RFC 8461, Section 5: a message does not fail because of a policy before a check for a newer one.
func TestRFC8461_5_PolicyIsCheckedBeforeABounce(t *testing.T) {
	const queueTime = 5 * 24 * time.Hour
	prepare := func(r *rig) *mailhost {
		h := r.addHost(mx)
		r.publish(domain, "1", mtasts.ModeEnforce, "old."+mx)
		r.accept(sender, "b@"+domain)
		time.Sleep(queueTime - time.Minute)
		r.wantQueue("b@" + domain)
		return h
	}
	t.Run("it has changed under the same id", func(t *testing.T) {
		play(t, func(t *testing.T, r *rig) {
			h := prepare(r)
			r.publish(domain, "1", mtasts.ModeEnforce, mx)
			time.Sleep(2 * time.Minute)
			if got := h.received(); len(got) != 1 || len(r.bounces.received()) > 0 {
				t.Errorf("%d messages delivered, %d bounces; want it delivered", len(got), len(r.bounces.received()))
			}
			r.wantQueue()
		})
	})
	t.Run("it has not changed", func(t *testing.T) {
		play(t, func(t *testing.T, r *rig) {
			h := prepare(r)
			time.Sleep(2 * time.Minute)
			r.wantBounce("Status: 5.4.8", "b@"+domain, "mode enforce", "mx: old."+mx)
			if len(h.received()) > 0 {
				t.Error("delivered against the policy")
			}
			r.wantQueue()
		})
	})
	t.Run("it cannot be checked", func(t *testing.T) {
		play(t, func(t *testing.T, r *rig) {
			prepare(r)
			r.DNS.Set("_mta-sts."+domain, resolver.Records{Fail: resolver.ServFail})
			time.Sleep(23 * time.Hour)
			r.wantQueue("b@" + domain)
			if got := r.bounces.received(); len(got) > 0 {
				t.Fatal("bounced without a check")
			}
			time.Sleep(12 * time.Hour)
			r.wantBounce("could not be checked")
			r.wantQueue()
		})
	})
}

// A dead host gets an attempt at growing intervals, and then the message bounces.
func TestQueueTime(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.accept(sender, "b@"+domain) // its MX host has no address
		time.Sleep(5*24*time.Hour - time.Minute)
		r.wantQueue("b@" + domain)
		tries := r.DNS.Queries(mx)
		if tries < 20 || tries > 50 {
			t.Errorf("%d attempts in five days", tries)
		}
		time.Sleep(2 * time.Minute)
		r.wantBounce("5.4.7", "b@"+domain)
		r.wantQueue()
	})
}

// The pauses are random, grow, and end growing.
func TestBackoff(t *testing.T) {
	for tries := 1; tries < 1_000_000; tries = tries*3/2 + 1 {
		want := 5 * time.Minute << min(tries-1, 6)
		low, high := week, time.Duration(0)
		for range 200 {
			got := backoff(5*time.Minute, tries)
			low, high = min(low, got), max(high, got)
		}
		if low < want/2 || high > want*3/2 || high-low < want/2 {
			t.Errorf("after %d tries: %s to %s, want %s to %s", tries, low, high, want/2, want*3/2)
		}
	}
}

// A message of a domain that does not answer holds back no other domain.
func TestDomainsDoNotWaitForEachOther(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		h := r.addHost("mx.other.example")
		r.setMX("other.example", "mx.other.example")
		r.addFaulty(mx, mtaststest.MX{Replies: mtaststest.Replies{"": ""}}) // no greeting
		r.accept(sender, "b@"+domain, "c@other.example")
		time.Sleep(time.Second)
		if got := h.received(); len(got) != 1 {
			t.Errorf("%d messages delivered, want 1", len(got))
		}
		r.wantQueue("b@" + domain)
		time.Sleep(15 * time.Minute)
		if !r.log.has("i/o timeout") {
			t.Error("the session with a host that does not answer does not end")
		}
	})
}

// Hosts that are slow in every step do not hold back other mail for long.
func TestTarpits(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		r.q.queueTime = time.Hour
		var hosts []net.MX
		for i := range 40 {
			host := fmt.Sprintf("mx%d.%s", i, domain)
			r.addFaulty(host, mtaststest.MX{Replies: mtaststest.Replies{"": ""}}) // no greeting
			hosts = append(hosts, net.MX{Host: host})
		}
		for i := range maxDeliveries {
			tarpit := fmt.Sprintf("tarpit%d.example", i)
			r.DNS.Set(tarpit, resolver.Records{MX: hosts})
			r.accept("", "b@"+tarpit)
		}
		time.Sleep(time.Second)
		h := r.addHost("mx.other.example")
		r.setMX("other.example", "mx.other.example")
		r.accept(sender, "c@other.example")
		time.Sleep(time.Hour)
		if got := h.received(); len(got) != 1 {
			t.Errorf("%d messages delivered, want 1", len(got))
		}
	})
}

// Slow hosts do not keep a message for ever. If a policy holds it too, there is a day for the check of
// the policy, for which the last attempt has left no time.
func TestTarpitsAtTheLastAttempt(t *testing.T) {
	for _, held := range []bool{false, true} {
		play(t, func(t *testing.T, r *rig) {
			r.q.queueTime = time.Hour
			r.q.sender.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if strings.HasPrefix(address, "198.51.100.") {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return r.dial(ctx, network, address)
			}
			var many []netip.Addr
			for i := range 200 {
				many = append(many, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
			}
			r.DNS.Set(mx, resolver.Records{Addr: many})
			if held {
				r.publish(domain, "1", mtasts.ModeEnforce, mx)
				r.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: "mx.attacker.example", Pref: 1}, {Host: mx, Pref: 2}}})
			}
			r.accept(sender, "b@"+domain)
			time.Sleep(6 * time.Hour)
			if held {
				r.wantQueue("b@" + domain)
				time.Sleep(30 * time.Hour)
			}
			r.wantBounce("b@" + domain)
		})
	}
}

// RFC 8461, Section 3.4: the policy of a smart host is that of its own name.
func TestSmartHost(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		const smart = "smart.example"
		h := r.addHost(smart)
		r.q.sender.SmartHost = smart
		r.publish(domain, "1", mtasts.ModeEnforce, mx) // does not list the smart host, and does not matter
		r.publish(smart, "1", mtasts.ModeEnforce, "other."+smart)
		r.accept(sender, "b@"+domain, "c@other.example")
		time.Sleep(time.Minute)
		r.wantQueue("b@"+domain, "c@other.example")
		r.publish(smart, "2", mtasts.ModeEnforce, smart)
		time.Sleep(time.Hour)
		r.wantQueue()
		if got := h.received(); len(got) != 2 || h.sessionsSoFar() > 3 {
			t.Errorf("delivered %+v in %d sessions, want it once for each domain", got, h.sessionsSoFar())
		}
	})
}

// RFC 8689: a message may waive TLS, as a TLS report does.
func TestTLSRequiredNo(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		h := r.addHost(mx)
		r.publish(domain, "1", mtasts.ModeEnforce, "old."+mx)
		if err := r.q.accept(sender, []string{"b@" + domain}, strings.NewReader("TLS-Required: No\r\n"+text)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := h.received(); len(got) != 1 {
			t.Errorf("%d messages delivered, want 1", len(got))
		}
	})
}

// A TLS report goes through the spool, and the policy that it reports about does not hold it back.
func TestReport(t *testing.T) {
	play(t, func(t *testing.T, r *rig) {
		var reports *tlsrpt.Collector
		r.stop()
		r.report = func(e mtasts.Event) { reports.Report(e) }
		r.start()
		cfg := &config{spool: r.dir, reports: tlsrpt.Options{Organization: "Sender", Contact: "postmaster@sender.example",
			From: "reports@sender.example", Resolver: r.DNS}}
		var err error
		if reports, err = openReports(cfg, r.q, io.Discard); err != nil {
			t.Fatal(err)
		}
		defer reports.Close()
		h := r.addHost(mx)
		r.publish(domain, "1", mtasts.ModeEnforce, "old."+mx)
		r.DNS.Set("_smtp._tls."+domain, resolver.Records{TXT: []string{"v=TLSRPTv1; rua=mailto:tls@" + domain}})
		r.accept(sender, "b@"+domain)
		go reports.Run(t.Context())
		time.Sleep(2 * 24 * time.Hour)
		got := h.received()
		if len(got) == 0 || got[0].from != "reports@sender.example" || got[0].to[0] != "tls@"+domain {
			t.Errorf("delivered %+v, want a report", got)
		}
		r.wantQueue("b@" + domain)
	})
}
