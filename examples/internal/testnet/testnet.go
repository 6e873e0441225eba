// Package testnet is the Internet of the examples that need none: three domains that receive
// mail, an attacker, and a sender. DNS, policy hosts and the certificate authority are in
// memory, the mail servers on loopback TCP sockets.
package testnet

import (
	"net"
	"time"

	"github.com/mtasts/go-mtasts/examples/internal/delivery"
	"github.com/mtasts/go-mtasts/examples/internal/loopback"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// The recipients' domains, their MX hosts, and the attacker's MX host.
const (
	EnforceDomain = "enforce.example"
	TestingDomain = "testing.example"
	WithoutDomain = "without.example"

	EnforceMX  = "mx.enforce.example"
	MovedMX    = "mx2.enforce.example"
	TestingMX  = "mx.testing.example"
	WithoutMX  = "mx.without.example"
	AttackerMX = "mx.attacker.example"
)

// AllMX are all MX hosts.
var AllMX = []string{EnforceMX, MovedMX, TestingMX, WithoutMX, AttackerMX}

// Week is how long the policies of [Net.Publish] are valid.
const Week = 7 * 24 * time.Hour

// A Net is the Internet, and a sender in it.
type Net struct {
	World  *mtaststest.World
	Sender *delivery.Sender // still without Policies
	net    *loopback.Network
}

// New starts the mail servers. The domains have MX records, but no policies yet.
func New() (*Net, error) {
	w := mtaststest.NewWorld()
	n := &Net{World: w, net: &loopback.Network{DNS: w.DNS}}
	for _, host := range AllMX {
		w.AddMX(host, mtaststest.MX{})
		if err := n.net.Serve(host, func(conn net.Conn) { w.ServeMX(conn, host) }); err != nil {
			n.net.Close()
			return nil, err
		}
	}
	n.SetMX(EnforceDomain, EnforceMX)
	n.SetMX(TestingDomain, TestingMX)
	n.SetMX(WithoutDomain, WithoutMX)
	n.Sender = &delivery.Sender{
		DNS:   w.DNS,
		Roots: w.Roots(),
		Dial:  n.net.Dial,
		Port:  "25",
		Helo:  "sender.example",
		Log:   func(string, ...any) {},
	}
	return n, nil
}

// Close ends the sender and the mail servers.
func (n *Net) Close() {
	n.Sender.Close()
	if n.Sender.Policies != nil {
		n.Sender.Policies.Close()
	}
	n.net.Close()
}

// Publish publishes a policy for domain that lists hosts.
func (n *Net) Publish(domain, id string, mode mtasts.Mode, hosts ...string) {
	n.World.Publish(domain, id, mtaststest.Policy(mode, Week, hosts...))
}

// SetMX makes host the MX host of domain in the DNS, as its owner or an attacker does.
func (n *Net) SetMX(domain, host string) {
	n.World.DNS.Set(domain, resolver.Records{MX: []net.MX{{Host: host, Pref: 10}}})
}
