package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/examples/internal/loopback"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// The recipients' domains, their MX hosts, and the attacker's MX host.
const (
	enforceDomain = "enforce.example"
	testingDomain = "testing.example"
	withoutDomain = "without.example"

	enforceMX  = "mx.enforce.example"
	movedMX    = "mx2.enforce.example"
	testingMX  = "mx.testing.example"
	withoutMX  = "mx.without.example"
	attackerMX = "mx.attacker.example"
)

var allMX = []string{enforceMX, movedMX, testingMX, withoutMX, attackerMX}

const week = 7 * 24 * time.Hour

// A stage is the world of the steps, and the sender.
type stage struct {
	world  *mtaststest.World
	net    *loopback.Network
	db     string // the file in which the sender caches policies
	sender *delivery.Sender

	sent int // messages so far
}

// newStage starts the mail servers and the sender. The domains have MX records, but no policies
// yet.
func newStage(dir string) (*stage, error) {
	w := mtaststest.NewWorld()
	s := &stage{
		world: w,
		net:   &loopback.Network{DNS: w.DNS},
		db:    filepath.Join(dir, "mta-sts.db"),
	}
	for _, host := range allMX {
		w.AddMX(host, mtaststest.MX{})
		if err := s.net.Serve(host, func(conn net.Conn) { w.ServeMX(conn, host) }); err != nil {
			s.net.Close()
			return nil, err
		}
	}
	s.setMX(enforceDomain, enforceMX)
	s.setMX(testingDomain, testingMX)
	s.setMX(withoutDomain, withoutMX)
	s.sender = &delivery.Sender{
		DNS:   w.DNS,
		Roots: w.Roots(),
		Dial:  s.net.Dial,
		Port:  "25",
		Helo:  "sender.example",
		Log:   func(string, ...any) {},
	}
	if err := s.start(); err != nil {
		s.net.Close()
		return nil, err
	}
	return s, nil
}

// start starts the sender with the policies in its file.
func (s *stage) start() error {
	policies, err := mtasts.Open(s.db, s.world.Options())
	if err != nil {
		return err
	}
	s.sender.Policies = policies
	return nil
}

// restart ends the sender and starts it again.
func (s *stage) restart() error {
	if err := s.sender.Policies.Close(); err != nil {
		return err
	}
	return s.start()
}

func (s *stage) close() {
	s.sender.Policies.Close()
	s.net.Close()
}

// publish publishes a policy for domain that lists hosts.
func (s *stage) publish(domain, id string, mode mtasts.Mode, hosts ...string) {
	s.world.Publish(domain, id, mtaststest.Policy(mode, week, hosts...))
}

// setMX makes host the MX host of domain in the DNS, as its owner or an attacker does.
func (s *stage) setMX(domain, host string) {
	s.world.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: host, Pref: 10}}})
}

// play makes the changes of a step, sends its message, and finds the outcome.
func (s *stage) play(ctx context.Context, step step) (finding, error) {
	if step.restart {
		if err := s.restart(); err != nil {
			return finding{}, err
		}
	}
	if step.change != nil {
		step.change(s)
	}
	s.sent++
	subject := fmt.Sprintf("Subject: message %d\n", s.sent)
	earlier := len(s.world.Events())
	err := s.sender.Deliver(ctx, delivery.Message{
		From: "alice@sender.example",
		To:   "bob@" + step.to,
		Data: []byte(subject + "\nHello.\n"),
	})
	found := s.find(subject, s.world.Events()[earlier:], err)
	if delivered := found.receivedBy != ""; delivered != (err == nil) {
		return found, fmt.Errorf("message %d: %v, but the sender returned: %v", s.sent, found, err)
	}
	return found, nil
}
