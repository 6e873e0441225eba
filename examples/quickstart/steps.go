package main

import (
	"github.com/mtasts/go-mtasts/examples/internal/testnet"
	"github.com/mtasts/go-mtasts/mtasts"
	"github.com/mtasts/go-mtasts/mtasts/mtaststest"
	"github.com/mtasts/go-mtasts/resolver"
)

// A step is one message.
type step struct {
	scene   string // what has changed; "" if nothing has
	title   string
	restart bool         // the sender restarts
	change  func(*stage) // of the world, before the message
	to      string       // the recipient's domain
	want    outcome
}

var steps = []step{
	{
		scene: "enforce.example publishes a policy: mode enforce, mx mx.enforce.example.",
		title: "the first message",
		change: func(s *stage) {
			s.Publish(testnet.EnforceDomain, "1", mtasts.ModeEnforce, testnet.EnforceMX)
		},
		to:   testnet.EnforceDomain,
		want: outcome{receivedBy: testnet.EnforceMX, overTLS: true, reported: "success"},
	},
	{
		scene: "An attacker gets between sender and receiver.",
		title: "STARTTLS is stripped",
		change: func(s *stage) {
			s.World.AddMX(testnet.EnforceMX, mtaststest.MX{NoSTARTTLS: true})
		},
		to:   testnet.EnforceDomain,
		want: outcome{reported: "starttls-not-supported"},
	},
	{
		title: "the MX record is forged",
		change: func(s *stage) {
			s.World.AddMX(testnet.EnforceMX, mtaststest.MX{})
			s.SetMX(testnet.EnforceDomain, testnet.AttackerMX) // has a valid certificate for its own name
		},
		to:   testnet.EnforceDomain,
		want: outcome{reported: "validation-failure"},
	},
	{
		title: "the certificate is for another host",
		change: func(s *stage) {
			s.SetMX(testnet.EnforceDomain, testnet.EnforceMX)
			s.World.AddMX(testnet.EnforceMX, mtaststest.MX{Certificate: mtaststest.WrongName})
		},
		to:   testnet.EnforceDomain,
		want: outcome{reported: "certificate-host-mismatch"},
	},
	{
		scene:   "The sender restarts. The attacker blocks the policy: no DNS, no policy host.",
		title:   "the MX record is forged",
		restart: true,
		change: func(s *stage) {
			s.World.AddMX(testnet.EnforceMX, mtaststest.MX{})
			s.SetMX(testnet.EnforceDomain, testnet.AttackerMX)
			s.World.DNS.Set("_mta-sts."+testnet.EnforceDomain, resolver.Records{Fail: resolver.ServFail})
			s.World.SetPolicyHost(testnet.EnforceDomain, mtaststest.PolicyHost{Unreachable: true})
		},
		to:   testnet.EnforceDomain,
		want: outcome{reported: "validation-failure", notice: "policy sts-policy-fetch-error"},
	},
	{
		title: "the MX record is genuine",
		change: func(s *stage) {
			s.SetMX(testnet.EnforceDomain, testnet.EnforceMX)
		},
		to:   testnet.EnforceDomain,
		want: outcome{receivedBy: testnet.EnforceMX, overTLS: true, reported: "success"},
	},
	{
		scene: "The block ends. enforce.example adds mx2 to its policy, with a new id.",
		title: "the mail goes to mx2",
		change: func(s *stage) {
			s.Publish(testnet.EnforceDomain, "2", mtasts.ModeEnforce, testnet.EnforceMX, testnet.MovedMX)
			s.SetMX(testnet.EnforceDomain, testnet.MovedMX)
		},
		to:   testnet.EnforceDomain,
		want: outcome{receivedBy: testnet.MovedMX, overTLS: true, reported: "success", notice: "change patterns-added"},
	},
	{
		scene: "testing.example publishes a policy of mode testing.",
		title: "its MX has an expired certificate",
		change: func(s *stage) {
			s.Publish(testnet.TestingDomain, "1", mtasts.ModeTesting, testnet.TestingMX)
			s.World.AddMX(testnet.TestingMX, mtaststest.MX{Certificate: mtaststest.Expired})
		},
		to:   testnet.TestingDomain,
		want: outcome{receivedBy: testnet.TestingMX, overTLS: true, reported: "certificate-expired"},
	},
	{
		scene: "without.example publishes no policy.",
		title: "its MX has a self-signed certificate",
		change: func(s *stage) {
			s.World.AddMX(testnet.WithoutMX, mtaststest.MX{Certificate: mtaststest.SelfSigned})
		},
		to:   testnet.WithoutDomain,
		want: outcome{receivedBy: testnet.WithoutMX, overTLS: true},
	},
}
