package delivery_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mtasts/go-mtasts/cache"
	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/examples/internal/loopback"
	"github.com/mtasts/go-mtasts/internal/testpki"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// The domain to deliver to, and its two MX hosts.
const (
	domain = "example.com"
	mx1    = "mx1.example.com"
	mx2    = "mx2.example.com"
)

const text = "Subject: test\r\n\r\n.a line that begins with a dot\r\n.\r\nthe end\r\n"

// A rig is a Sender in a World whose MX hosts are on TCP sockets.
type rig struct {
	*mtaststest.World
	t        *testing.T
	net      *loopback.Network
	sender   *delivery.Sender
	sessions map[string]*atomic.Int32 // by host
	log      []string                 // of the sender
}

func newRig(t *testing.T) *rig {
	w := mtaststest.NewWorld()
	r := &rig{World: w, t: t, net: &loopback.Network{DNS: w.DNS}, sessions: map[string]*atomic.Int32{}}
	t.Cleanup(r.net.Close)
	policies := mtasts.New(new(cache.Memory), w.Options())
	t.Cleanup(func() {
		if err := policies.Close(); err != nil {
			t.Error(err)
		}
	})
	r.sender = &delivery.Sender{
		Policies: policies,
		DNS:      w.DNS,
		Roots:    w.Roots(),
		Dial:     r.net.Dial,
		Port:     "25",
		Helo:     "sender.example",
		Log: func(format string, args ...any) {
			r.log = append(r.log, fmt.Sprintf(format, args...))
			t.Logf(format, args...)
		},
	}
	t.Cleanup(r.sender.Close)
	r.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: mx1, Pref: 10}}})
	return r
}

// twoHosts makes mx2 the second choice, after mx1.
func (r *rig) twoHosts() {
	r.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: mx2, Pref: 20}, {Host: mx1, Pref: 10}}})
}

// publish publishes a policy that lists hosts.
func (r *rig) publish(mode mtasts.Mode, id string, hosts ...string) {
	r.Publish(domain, id, mtaststest.Policy(mode, time.Hour, hosts...))
}

// friendly adds an MX host that accepts every message.
func (r *rig) friendly(host string, mx mtaststest.MX) {
	r.t.Helper()
	count := new(atomic.Int32)
	r.sessions[host] = count
	r.AddMX(host, mx)
	r.serve(host, func(conn net.Conn) {
		count.Add(1)
		r.ServeMX(conn, host)
	})
}

func (r *rig) serve(host string, serve func(net.Conn)) {
	r.t.Helper()
	if err := r.net.Serve(host, serve); err != nil {
		r.t.Fatal(err)
	}
}

// scripted adds an MX host with fixed replies.
func (r *rig) scripted(host string, replies map[string]string) *script {
	r.t.Helper()
	s := &script{replies: replies}
	r.serve(host, s.serve)
	return s
}

// secured is scripted for a host that offers STARTTLS, with a valid certificate.
func (r *rig) secured(host string, replies, inTLS map[string]string) *script {
	r.t.Helper()
	ca := testpki.Must(testpki.New())
	r.sender.Roots.AppendCertsFromPEM(ca.PEM())
	s := &script{
		replies: map[string]string{"EHLO": "250-" + host + "\r\n250 STARTTLS"},
		inTLS:   inTLS,
		tls:     &tls.Config{Certificates: []tls.Certificate{testpki.Must(ca.Issue(host))}},
	}
	maps.Copy(s.replies, replies)
	r.serve(host, s.serve)
	return s
}

func message() delivery.Message {
	return delivery.Message{From: "a@sender.example", To: []string{"b@" + domain}, Data: strings.NewReader(text), Last: true}
}

func (r *rig) deliver() error {
	return r.sender.Deliver(r.t.Context(), message()).Err()
}

// wantMail asserts where the message is, each copy as "HOST in TLS 1.3" or "HOST in
// clear text".
func (r *rig) wantMail(want ...string) {
	r.t.Helper()
	var got []string
	for host := range r.sessions {
		for _, mail := range r.Mail(host) {
			how := "clear text"
			if mail.TLS != nil {
				how = tls.VersionName(mail.TLS.Version)
			}
			got = append(got, host+" in "+how)
		}
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("mailboxes hold %q, want %q", got, want)
	}
}

// wantResults asserts which results were reported about sessions.
func (r *rig) wantResults(want ...mtasts.Result) {
	r.t.Helper()
	var got []mtasts.Result
	for _, event := range r.Events() {
		if event.Kind == mtasts.EventSession {
			got = append(got, event.Result)
		}
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("results reported: %q, want %q", got, want)
	}
}

// wantDeferred asserts that err is a deferral.
func (r *rig) wantDeferred(err error) {
	r.t.Helper()
	if err == nil || isRejected(err) || errors.Is(err, delivery.ErrUnanswered) {
		r.t.Errorf("Deliver: %v, want a deferral", err)
	}
}

func isRejected(err error) bool {
	_, rejected := errors.AsType[*delivery.Rejection](err)
	return rejected
}

// wantHeld asserts that err is a deferral because of the policy.
func (r *rig) wantHeld(err error, result mtasts.Result) {
	r.t.Helper()
	held, ok := errors.AsType[*mtasts.Error](err)
	if !ok || held.Result != result || isRejected(err) {
		r.t.Errorf("Deliver: %v, want a deferral because of %q", err, result)
	}
}
