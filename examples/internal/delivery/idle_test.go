package delivery_test

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// second is a domain with the MX hosts of domain.
const second = "second.example"

// reusing is a rig that keeps sessions, with two domains.
func reusing(t *testing.T) *rig {
	r := newRig(t)
	r.sender.KeepIdle = time.Minute
	r.DNS.Set(second, resolver.Records{MX: []net.MX{{Host: mx1}}})
	return r
}

func (r *rig) deliverTo(to ...string) *delivery.Outcome {
	return r.sender.Deliver(r.t.Context(), delivery.Message{From: "a@sender.example", To: to, Data: strings.NewReader(text)})
}

// One session carries the messages of all domains whose policies it fulfils.
func TestSessionIsUsedAgain(t *testing.T) {
	r := reusing(t)
	r.publish(mtasts.ModeEnforce, "1", mx1)
	r.Publish(second, "1", mtaststest.Policy(mtasts.ModeTesting, time.Hour, mx1))
	r.friendly(mx1, mtaststest.MX{})
	for _, to := range []string{"b@" + domain, "b@" + second, "c@" + domain} {
		if err := r.deliverTo(to).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.sessions[mx1].Load(); got != 1 || len(r.Mail(mx1)) != 3 {
		t.Errorf("%d sessions and %d messages, want 1 and 3", got, len(r.Mail(mx1)))
	}
	r.wantResults("", "", "")
}

// A session that was good enough for one domain is not for another. The message under the stricter
// policy is held back, and the session ends.
func TestSessionIsVerifiedUnderTheOtherPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		mx     mtaststest.MX
		listed string
		result mtasts.Result
	}{
		"certificate": {mtaststest.MX{Certificate: mtaststest.Expired}, mx1, mtasts.ResultCertificateExpired},
		"not listed":  {mtaststest.MX{}, mx2, mtasts.ResultValidationFailure},
		"clear text":  {mtaststest.MX{NoSTARTTLS: true}, mx1, mtasts.ResultSTARTTLSNotSupported},
	} {
		t.Run(name, func(t *testing.T) {
			r := reusing(t)
			r.Publish(second, "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, test.listed))
			r.friendly(mx1, test.mx)
			if err := r.deliverTo("b@" + domain).Err(); err != nil {
				t.Fatal(err)
			}
			r.wantHeld(r.deliverTo("b@"+second).Err(), test.result)
			if got := len(r.Mail(mx1)); got != 1 {
				t.Errorf("%d messages delivered, want 1", got)
			}
		})
	}
}

// A policy that becomes stricter applies to a session that is open already.
func TestSessionIsVerifiedUnderTheNewerPolicy(t *testing.T) {
	r := reusing(t)
	r.publish(mtasts.ModeTesting, "1", mx1)
	r.friendly(mx1, mtaststest.MX{Certificate: mtaststest.Expired})
	if err := r.deliverTo("b@" + domain).Err(); err != nil {
		t.Fatal(err)
	}
	r.publish(mtasts.ModeEnforce, "2", mx1)
	if _, err := r.sender.Policies.Recheck(t.Context(), domain); err != nil {
		t.Fatal(err)
	}
	r.wantHeld(r.deliverTo("b@"+domain).Err(), mtasts.ResultCertificateExpired)
	if got := len(r.Mail(mx1)); got != 1 {
		t.Errorf("%d messages delivered, want 1", got)
	}
}

// A host that has ended an idle session gets a new one.
func TestSessionThatHasEndedIsReplaced(t *testing.T) {
	r := reusing(t)
	host := r.secured(mx1, nil, replies{"RSET": hangUp})
	for range 3 {
		if err := r.deliverTo("b@" + domain).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if sessions, messages := host.sessions.Load(), host.messages.Load(); sessions != 3 || messages != 3 {
		t.Errorf("%d sessions and %d messages, want 3 and 3", sessions, messages)
	}
}

// A refused recipient does not spoil the session, and another host is tried only for those who may
// be accepted there.
func TestRecipients(t *testing.T) {
	r := reusing(t)
	r.twoHosts()
	first := r.secured(mx1, nil, replies{"RCPT TO:<busy@example.com>": "450 later", "RCPT TO:<unknown@example.com>": "550 unknown"})
	r.friendly(mx2, mtaststest.MX{})
	outcome := r.deliverTo("b@"+domain, "busy@"+domain, "unknown@"+domain)
	if err := outcome.Errors["b@"+domain]; err != nil {
		t.Errorf("b: %v", err)
	}
	if err := outcome.Errors["busy@"+domain]; err != nil {
		t.Errorf("busy: %v, want it delivered to the second host", err)
	}
	if err := outcome.Errors["unknown@"+domain]; !isRejected(err) {
		t.Errorf("unknown: %v, want a rejection", err)
	}
	mail := r.Mail(mx2)
	if first.messages.Load() != 1 || len(mail) != 1 || !slices.Equal(mail[0].To, []string{"busy@" + domain}) {
		t.Errorf("the first host has %d messages, the second %+v", first.messages.Load(), mail)
	}
}

// RFC 8461, Section 3.4: the policy of a smart host is that of its own name.
func TestSmartHost(t *testing.T) {
	r := reusing(t)
	r.sender.SmartHost = mx2
	r.publish(mtasts.ModeEnforce, "1", mx1)
	r.Publish(mx2, "1", mtaststest.Policy(mtasts.ModeEnforce, time.Hour, mx2))
	r.friendly(mx2, mtaststest.MX{})
	outcome := r.deliverTo("b@"+domain, "b@"+second)
	if err := outcome.Err(); err != nil || outcome.Policy.Domain != mx2 {
		t.Errorf("%v under the policy of %s", err, outcome.Policy.Domain)
	}
	if got := r.DNS.Queries(domain) + r.DNS.Queries(second); got != 0 {
		t.Errorf("%d look-ups of the recipients' domains, want none", got)
	}
}

// The limit for the replies of a session is one for each message: a session that reaches it at the
// reply to a message would deliver the message twice.
func TestLimitOfRepliesIsForEachMessage(t *testing.T) {
	r := reusing(t)
	host := r.secured(mx1, nil, replies{"MAIL": strings.Repeat("250-"+strings.Repeat("x", 900)+"\r\n", 400) + "250 ok"})
	for range 6 {
		if err := r.deliverTo("b@" + domain).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := host.sessions.Load(); got != 1 {
		t.Errorf("%d sessions, want 1", got)
	}
}

// A session in clear text is not kept: the next one may be in TLS.
func TestSessionInClearTextIsNotUsedAgain(t *testing.T) {
	r := reusing(t)
	r.friendly(mx1, mtaststest.MX{NoSTARTTLS: true})
	if err := r.deliverTo("b@" + domain).Err(); err != nil {
		t.Fatal(err)
	}
	r.AddMX(mx1, mtaststest.MX{})
	if err := r.deliverTo("b@" + domain).Err(); err != nil {
		t.Fatal(err)
	}
	if mail := r.Mail(mx1); len(mail) != 2 || mail[1].TLS == nil {
		t.Errorf("delivered %+v, want the second message in TLS", mail)
	}
}
